package statuspage

import (
	"html/template"

	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// reasonsInChinese are the reasons of refusals and cooldowns. In English they are
// what they are called everywhere.
var reasonsInChinese = map[string]string{
	"content policy":        "内容策略",
	"invalid request":       "请求无效",
	"context length":        "超出上下文长度",
	"request too large":     "请求过大",
	"max_tokens too high":   "max_tokens 过高",
	"unsupported parameter": "不支持的参数",
	"unsupported endpoint":  "不支持的端点",
	"unsupported client":    "不支持的客户端",
	"dead key":              "密钥失效",
	"no credit":             "余额不足",
	"rate limit":            "速率限制",
	"day quota":             "日配额用尽",
	"month quota":           "月配额用尽",
	"usage limit":           "用量限制",
	"not in plan":           "套餐不含",
	"overloaded":            "上游过载",
	"unknown model":         "未知模型",
	"withdrawn model":       "模型已下线",
	"no free tier":          "无免费额度",
	"degraded model":        "模型异常",
	"server error":          "服务器错误",
	"timeout":               "超时",
	"network error":         "网络错误",
	"no output":             "没有输出",
	"redirect":              "重定向",
	"not an API response":   "不是 API 响应",
	"region":                "地区限制",
	"challenge page":        "验证页面",
	"address blocked":       "地址被封",
	"unclear":               "原因不明",
	"configured":            "自定义规则",
}

// reason writes the reason of a refusal.
func (f formatter) reason(reason string) template.HTML {
	if known, ok := reasonsInChinese[reason]; ok && f.lang == chinese {
		return template.HTML(template.HTMLEscapeString(known))
	}
	return f.foreign(reason)
}

// whyInChinese says why an upstream has its place. In English the sentence is that
// of the admin API.
var whyInChinese = map[string]string{
	status.ReasonUnmeasurable: "地址取决于请求，无法测量，按平均计。",
	status.ReasonUnavailable:  "Caddy 认为它不可用，有其他可用上游时不会请求它。",
	status.ReasonAsleep:       "在休眠，优先请求醒着的上游。",
	status.ReasonNotLoaded:    "尚未加载，按平均计。",
	status.ReasonWaking:       "正在唤醒，页面加载成功之前排在通过者之后。",
	status.ReasonMissing:      "没有该页面，排在通过者之后。",
	status.ReasonFailing:      "最近一次加载失败，排在通过者之后。",
	status.ReasonJustUp:       "刚刚恢复，这次加载不计，按平均计。",
	status.ReasonSlower:       "比最快的上游慢。",
	status.ReasonWithinMargin: "比最快的上游快，但差距在余量之内。",
	status.ReasonFastest:      "最快。",
	status.ReasonKept:         "仍为最快：另一个更快，但差距在余量之内。",
	status.ReasonOnly:         "唯一测到且通过的上游。",
}

// why says why an upstream has its place.
func (f formatter) why(u status.Upstream) template.HTML {
	if known, ok := whyInChinese[u.Reason]; ok && f.lang == chinese {
		return template.HTML(template.HTMLEscapeString(known))
	}
	return f.foreign(u.Why)
}
