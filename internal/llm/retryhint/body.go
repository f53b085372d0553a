package retryhint

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// refusal is what the body of a response with status 429 may say.
// Sources: for `details` Google's API design guide (AIP-193, google.rpc.RetryInfo
// and QuotaFailure) and https://ai.google.dev/gemini-api/docs/rate-limits; for
// `metadata` https://openrouter.ai/docs/api/reference/errors-and-debugging, and
// for its `headers` what users report.
type refusal struct {
	Error struct {
		Details []struct {
			RetryDelay string `json:"retryDelay"`
			Violations []struct {
				QuotaID string `json:"quotaId"`
			} `json:"violations"`
		} `json:"details"`
		Metadata struct {
			Headers map[string]string `json:"headers"`
		} `json:"metadata"`
	} `json:"error"`
}

// FromBody returns when the body of a refusal says that the request may be made
// again, and the zero time if it does not say, or if text is not the whole body
// or not JSON.
func FromBody(text []byte, now time.Time) time.Time {
	r := parse(text)
	header := make(http.Header)
	for name, value := range r.Error.Metadata.Headers {
		header.Set(name, value)
	}
	at := FromHeader(header, now)
	for _, detail := range r.Error.Details {
		if wait, err := time.ParseDuration(detail.RetryDelay); err == nil && wait >= 0 {
			at = latest(at, now.Add(min(wait, MaxWait)))
		}
		for _, violation := range detail.Violations {
			// The delay beside it is that of the quota of a minute.
			if strings.Contains(violation.QuotaID, "PerDay") {
				at = latest(at, nextDay(now))
			}
		}
	}
	return at
}

// parse parses the body of a refusal. Google's API in OpenAI's dialect wraps it
// in an array.
func parse(text []byte) *refusal {
	var r refusal
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("[")) {
		text = bytes.TrimSuffix(text[1:], []byte("]"))
	}
	_ = json.Unmarshal(text, &r) // what is not JSON says nothing
	return &r
}

// nextDay returns when Google's day ends: at midnight Pacific time.
// Source: https://ai.google.dev/gemini-api/docs/rate-limits
func nextDay(now time.Time) time.Time {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		return time.Time{}
	}
	year, month, day := now.In(zone).Date()
	return time.Date(year, month, day+1, 0, 0, 0, 0, zone)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
