package statuspage

import (
	"net/http"

	accept "golang.org/x/text/language"
)

// language is one that the page is in, by its tag in HTML.
type language string

const (
	english language = "en"
	chinese language = "zh"
)

var languages = []language{english, chinese}

var matcher = accept.NewMatcher([]accept.Tag{accept.English, accept.Chinese})

// languageOf returns the language for a request: that of `?lang=`, or else the
// one that the browser prefers.
func languageOf(r *http.Request) language {
	tags := []string{r.URL.Query().Get("lang"), r.Header.Get("Accept-Language")}
	for _, tag := range tags {
		if preferred, _, err := accept.ParseAcceptLanguage(tag); err == nil && len(preferred) > 0 {
			_, index, _ := matcher.Match(preferred...)
			return languages[index]
		}
	}
	return english
}

// text is a text of the page in all languages.
type text struct{ en, zh string }

func (l language) of(t text) string {
	if l == chinese {
		return t.zh
	}
	return t.en
}

// texts are those of the page. Templates have them by their names here.
var texts = map[string]text{
	"title":        {"Status", "状态"},
	"other":        {"中文", "English"}, // the link to the other language
	"live":         {"live", "实时"},
	"reconnecting": {"reconnecting…", "正在重连…"},
	"static":       {"as of %s", "截至 %s"},
	"json":         {"as JSON", "JSON 格式"},
	"powered":      {"caddy-freetier", "caddy-freetier"},
	"nothing":      {"This configuration has no targets, channels or upstreams to show.", "此配置没有可显示的目标、渠道或上游。"},

	"all well":      {"Everything is working", "一切正常"},
	"one down":      {"1 target is down", "1 个目标宕机"},
	"many down":     {"%d targets are down", "%d 个目标宕机"},
	"one failing":   {"1 target is failing", "1 个目标异常"},
	"many failing":  {"%d targets are failing", "%d 个目标异常"},
	"one keyless":   {"1 channel has no usable key", "1 个渠道没有可用密钥"},
	"many keyless":  {"%d channels have no usable key", "%d 个渠道没有可用密钥"},
	"separator":     {", ", "，"},
	"list":          {", ", "、"},
	"and more":      {"and %d more, see status.json", "另有 %d 项，见 status.json"},
	"times in row":  {"%d times in a row", "连续 %d 次"},
	"targets awake": {"%d awake", "%d 个醒着"},

	"targets":     {"Targets", "保活目标"},
	"day strip":   {"the last 24 hours", "最近 24 小时"},
	"24 h":        {"24 h", "24 小时"},
	"30 days":     {"30 days", "30 天"},
	"next ping":   {"next ping", "下次 ping"},
	"skipped":     {"no ping:", "未 ping："},
	"cold starts": {"cold starts:", "冷启动："},
	"asleep":      {"asleep", "休眠"},
	"awake":       {"awake", "醒着"},
	"waking":      {"waking", "唤醒中"},
	"unknown":     {"unknown", "未知"},
	"up":          {"up", "正常"},
	"failing":     {"failing", "异常"},
	"down":        {"down", "宕机"},
	"strip label": {"last 24 hours: %s up", "最近 24 小时：可用 %s"},
	"strip none":  {"last 24 hours: nothing recorded yet", "最近 24 小时：尚无记录"},

	"accounts":   {"Hours of accounts", "账户时长"},
	"hours used": {"hours used", "已用小时"},
	"left until": {"left until", "剩余，截至"},
	"avoided":    {"cold starts avoided", "避免的冷启动"},

	"events":     {"Last changes", "最近变化"},
	"cold_start": {"cold start", "冷启动"},
	"hours_low":  {"hours low", "时长不足"},
	"winner":     {"winner", "最快"},
}
