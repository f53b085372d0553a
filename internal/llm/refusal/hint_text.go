package refusal

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Forms of times in messages, which are in plain form:
//
//	compactWait  try again in 7m12.5s (Groq) · retry in 38.2s (Gemini)
//	waitPhrase   retry after 20 seconds (Azure) · wait 2 minutes · resets in 3 hours
//	chineseWait  请在 30 秒后重试 · 3分钟后再试
//	resetPhrase  will reset at 2026-09-09 05:38:28 (Z.ai) ·
//	             regain access on 2026-12-01 at 00:00 utc (Anthropic)
//	resetBefore  限额将于 2026-09-09 05:38:28 重置
var (
	waitPhrase = regexp.MustCompile(`(?:again|retry|retrying|available|resets?|wait)(?: in| after| for)?:? (?:about |approximately |at least )?` +
		`((?:\d[\d.]* ?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)\b(?:,? (?:and )?)?)+)`)
	compactWait = regexp.MustCompile(`(?:again|retry|available|resets?|wait)(?: in| after| for)?:? ((?:\d[\d.]*(?:ms|d|h|m|s))+)`)
	waitUnit    = regexp.MustCompile(`(\d[\d.]*) ?(milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)`)
	chineseWait = regexp.MustCompile(`(\d+(?:\.\d+)?) ?(毫秒|秒钟?|分钟?|个?小时|天)(?:之?后|再|重)`)
	resetPhrase = regexp.MustCompile(`(?:resets?|reset|regain access|again|available|until|重置|恢复)(?: at| on| time)?:? ?(\d{4}-\d\d-\d\d)(?:[ t]|,? at )(\d\d:\d\d(?::\d\d)?)(?:\.\d+)? ?(utc|gmt|z|[+-]\d\d:?\d\d)?`)
	resetBefore = regexp.MustCompile(`(?:于|在) ?(\d{4}-\d\d-\d\d)[ t](\d\d:\d\d(?::\d\d)?)()[^0-9]{0,12}(?:重置|恢复|刷新)`)
)

// textMoment returns the time that a message states. A date counts before a
// duration, since messages that have both round the duration. A date without a
// zone is in the zone clock.
func textMoment(text string, now time.Time, clock string) (time.Time, bool) {
	for _, phrase := range [...]*regexp.Regexp{resetPhrase, resetBefore} {
		if m := phrase.FindStringSubmatch(text); m != nil {
			if at, ok := wallClock(m[1], m[2], m[3], clock); ok {
				return at, true
			}
		}
	}
	for _, phrase := range [...]*regexp.Regexp{compactWait, waitPhrase} {
		if m := phrase.FindStringSubmatch(text); m != nil {
			if wait := units(m[1]); wait > 0 {
				return now.Add(wait), true
			}
		}
	}
	if m := chineseWait.FindStringSubmatch(text); m != nil {
		return now.Add(unit(m[1], m[2])), true
	}
	return time.Time{}, false
}

// wallClock returns the time of a date (2006-01-02) and a clock (15:04 or
// 15:04:05) at an offset (utc, gmt, z, +08:00 or +0800), or in a zone if the
// offset is empty.
func wallClock(date, clock, offset, zone string) (time.Time, bool) {
	if len(clock) == len("15:04") {
		clock += ":00"
	}
	switch offset {
	case "":
	case "utc", "gmt", "z":
		zone = utc
	default:
		at, err := time.Parse("2006-01-02 15:04:05 -0700", date+" "+clock+" "+strings.Replace(offset, ":", "", 1))
		return at, err == nil
	}
	at, err := time.ParseInLocation(time.DateTime, date+" "+clock, location(zone))
	return at, err == nil
}

// units returns the sum of the units in "1 hour and 2 minutes" or "7m12.5s".
func units(text string) time.Duration {
	var sum time.Duration
	for _, m := range waitUnit.FindAllStringSubmatch(text, -1) {
		sum = min(sum+unit(m[1], m[2]), forever)
	}
	return sum
}

// unit returns a number of units, given the name of one in English or Chinese.
func unit(number, name string) time.Duration {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	switch {
	case name == "ms", strings.HasPrefix(name, "milli"), name == "毫秒":
		n /= 1000
	case name[0] == 's', strings.HasPrefix(name, "秒"):
	case name[0] == 'm', strings.HasPrefix(name, "分"):
		n *= 60
	case name[0] == 'h', strings.HasSuffix(name, "小时"):
		n *= 3600
	default:
		n *= day.Seconds()
	}
	return seconds(n)
}
