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

// texts are those of the page. Templates have them by their names here. A test
// requires both languages, the same placeholders in them, and that each is used.
var texts = map[string]text{
	"title":        {"Status", "状态"},
	"other":        {"中文", "English"}, // the link to the other language
	"live":         {"live", "实时"},
	"reconnecting": {"reconnecting…", "正在重连…"},
	"static":       {"as of %s", "截至 %s"},
	"json":         {"as JSON", "JSON 格式"},
	"powered":      {"caddy-freetier", "caddy-freetier"},
	"nothing":      {"This configuration has no targets, channels or upstreams to show.", "此配置没有可显示的目标、渠道或上游。"},

	"all well":         {"Everything is working", "一切正常"},
	"one down":         {"1 target is down", "1 个目标宕机"},
	"many down":        {"%d targets are down", "%d 个目标宕机"},
	"one failing":      {"1 target is failing", "1 个目标异常"},
	"many failing":     {"%d targets are failing", "%d 个目标异常"},
	"one keyless":      {"1 channel has no usable key", "1 个渠道没有可用密钥"},
	"many keyless":     {"%d channels have no usable key", "%d 个渠道没有可用密钥"},
	"separator":        {", ", "，"},
	"list":             {", ", "、"},
	"and more":         {"and %d more, see status.json", "另有 %d 项，见 status.json"},
	"times in row":     {"%d times in a row", "连续 %d 次"},
	"fastest upstream": {"Fastest upstream", "最快上游"},
	"usable keys":      {"Usable keys", "可用密钥"},
	"of channels":      {"of %d channels", "共 %d 个渠道"},
	"requests today":   {"Requests today", "今日请求"},
	"tokens of":        {"%s tokens", "%s 令牌"},
	"dns queries":      {"DNS queries", "DNS 查询"},
	"from cache":       {"%s from the cache", "%s 来自缓存"},
	"targets awake":    {"%d awake", "%d 个醒着"},

	"targets":     {"Targets", "保活目标"},
	"target":      {"target", "目标"},
	"last ping":   {"last ping", "最近 ping"},
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

	"accounts":   {"Hours of accounts", "账户时长"},
	"hours used": {"hours used", "已用小时"},
	"hours left": {"left", "剩余"},
	"renews":     {"renews", "重置于"},
	"avoided":    {"cold starts avoided", "避免的冷启动"},

	"upstreams":   {"Upstreams", "上游"},
	"upstream":    {"upstream", "上游"},
	"last load":   {"last load", "最近加载"},
	"load times":  {"load times of the last 24 hours", "最近 24 小时加载时间"},
	"fastest":     {"fastest", "最快"},
	"score":       {"score", "评分"},
	"curve label": {"%s at most", "最高 %s"},

	"channels":     {"Channels", "渠道"},
	"tier":         {"tier", "层级"},
	"keys usable":  {"usable keys:", "可用密钥："},
	"keys label":   {"%d of %d keys are usable", "可用密钥 %d / %d"},
	"answered":     {"answered", "已应答"},
	"refused":      {"refused", "被拒绝"},
	"dead":         {"dead", "失效"},
	"cooldown":     {"cooldown", "冷却"},
	"partly":       {"some models", "部分模型"},
	"exhausted":    {"exhausted", "用尽"},
	"usable again": {"usable again", "恢复："},
	"ends":         {"ends", "结束："},
	"all models":   {"all models", "所有模型"},
	"last refusal": {"last refusal", "最近一次拒绝"},
	"runs out":     {"runs out", "预计用尽"},

	"clients":  {"Clients", "客户端"},
	"today":    {"today", "今日"},
	"requests": {"requests", "请求"},
	"tokens":   {"tokens", "令牌"},

	"dns":           {"DNS", "DNS"},
	"since start":   {"since the start", "自启动以来"},
	"queries":       {"queries", "查询"},
	"failures":      {"failures", "失败"},
	"latency":       {"latency", "延迟"},
	"last error":    {"last error:", "最近错误："},
	"cooldown ends": {"cooldown ends", "冷却结束："},
	"cache":         {"Cache", "缓存"},
	"responses":     {"Responses", "应答"},
	"limited":       {"limited", "被限制"},
	"count hit":     {"hit", "命中"},
	"count miss":    {"miss", "未命中"},
	"count shared":  {"shared", "合并"},
	"count stale":   {"stale", "过期"},
	"count other":   {"other", "其他"},

	"a second of requests": {"requests a second", "每秒请求"},
	"a minute of requests": {"requests a minute", "每分钟请求"},
	"a hour of requests":   {"requests an hour", "每小时请求"},
	"a day of requests":    {"requests a day", "每日请求"},
	"a month of requests":  {"requests a month", "每月请求"},
	"a second of tokens":   {"tokens a second", "每秒令牌"},
	"a minute of tokens":   {"tokens a minute", "每分钟令牌"},
	"a hour of tokens":     {"tokens an hour", "每小时令牌"},
	"a day of tokens":      {"tokens a day", "每日令牌"},
	"a month of tokens":    {"tokens a month", "每月令牌"},
	"a second of queries":  {"queries a second", "每秒查询"},
	"a minute of queries":  {"queries a minute", "每分钟查询"},
	"a hour of queries":    {"queries an hour", "每小时查询"},
	"a day of queries":     {"queries a day", "每日查询"},
	"a month of queries":   {"queries a month", "每月查询"},

	"receipt":         {"Receipt", "账单"},
	"since":           {"since", "自"},
	"model":           {"model", "模型"},
	"input":           {"input", "输入"},
	"output":          {"output", "输出"},
	"paid rate":       {"at the paid rate", "按付费价"},
	"would have cost": {"would have cost", "合计本需花费"},

	"events":     {"Last changes", "最近变化"},
	"cold_start": {"cold start", "冷启动"},
	"hours_low":  {"hours low", "时长不足"},
	"winner":     {"winner", "最快"},
	"key":        {"key", "密钥"},
	"unhealthy":  {"unhealthy", "异常"},
	"healthy":    {"healthy", "恢复"},
}
