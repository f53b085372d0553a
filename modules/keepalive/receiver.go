package keepalive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// receiverVerdict is what a receiver says in JSON of a message. Many refuse
// one with status 200:
//
//   - WeCom and DingTalk: errcode 0, errmsg
//   - Feishu: code 0, msg; older responses have StatusCode, StatusMessage
//   - Bark: code 200, message; ServerChan: code 0, message
//   - Telegram: ok, description
//   - Pushover: status 1, errors
//   - Slack: ok, error
type receiverVerdict struct {
	OK          *bool        `json:"ok"`
	Success     *bool        `json:"success"`
	Errcode     *json.Number `json:"errcode"`
	Errno       *json.Number `json:"errno"`
	Code        *json.Number `json:"code"`
	StatusCode  *json.Number `json:"StatusCode"`
	Status      any          `json:"status"`
	Description any          `json:"description"`
	Errmsg      any          `json:"errmsg"`
	Message     any          `json:"message"`
	Msg         any          `json:"msg"`
	Errors      []any        `json:"errors"`
	Error       any          `json:"error"`
}

// refusalOf returns why a receiver has not taken a message, nil if it has.
func refusalOf(status int, body []byte) error {
	v := parseVerdict(body)
	reason := v.text()
	switch {
	case status/100 != 2:
		if reason == "" {
			return fmt.Errorf("status %d", status)
		}
		return fmt.Errorf("status %d: %s", status, reason)
	case isFalse(v.OK), isFalse(v.Success):
		return refused("it says no", reason)
	case isFailure(v.Errcode):
		return refused("errcode "+v.Errcode.String(), reason)
	case isFailure(v.Errno):
		return refused("errno "+v.Errno.String(), reason)
	case isFailure(v.StatusCode):
		return refused("StatusCode "+v.StatusCode.String(), reason)
	case v.OK != nil || v.Success != nil:
		return nil // it says yes, whatever its code is
	case isFailure(v.Code) && (v.Msg != nil || v.Message != nil):
		return refused("code "+v.Code.String(), reason)
	case len(v.Errors) > 0:
		return refused("it has errors", reason)
	case v.Status == float64(0) && v.Code == nil && v.Errcode == nil && v.Error != nil:
		return refused("status 0", reason)
	}
	if text, ok := v.Error.(string); ok && text != "" {
		return refused("error", text)
	}
	return nil
}

func parseVerdict(body []byte) (v receiverVerdict) {
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("{")) {
		return receiverVerdict{}
	}
	// A field of another type than expected says nothing; the others count.
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return receiverVerdict{}
	}
	for name, value := range fields {
		one, _ := json.Marshal(map[string]json.RawMessage{name: value})
		known := v
		if json.Unmarshal(one, &v) != nil {
			v = known
		}
	}
	return v
}

func isFalse(b *bool) bool { return b != nil && !*b }

// isFailure reports whether a code is one of a failure: neither 0 nor, as Bark
// has it, a status of success.
func isFailure(code *json.Number) bool {
	if code == nil {
		return false
	}
	n, err := code.Int64()
	return err == nil && n != 0 && n/100 != 2
}

// text returns what is said for people.
func (v receiverVerdict) text() string {
	texts := []any{v.Description, v.Errmsg, v.Msg, v.Message, v.Error}
	if len(v.Errors) > 0 {
		texts = append([]any{v.Errors[0]}, texts...)
	}
	for _, said := range texts {
		if text, ok := said.(string); ok && text != "" {
			return shorten([]byte(text))
		}
	}
	return ""
}

func refused(code, reason string) error {
	if reason == "" {
		return fmt.Errorf("refused: %s", code)
	}
	return fmt.Errorf("refused: %s", strings.Join([]string{code, reason}, ", "))
}
