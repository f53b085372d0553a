package neutral

import (
	"fmt"
	"slices"
	"strings"
)

// UnsupportedError is the error of a request that would mean something else in the
// channel's dialect. It is status 400, of scope "request here": another channel
// may serve it.
//
// Where names what would do, so that the operator sees which channel is missing.
// Without any it is what no translation can do, such as a conversation that the
// provider has stored.
type UnsupportedError struct {
	Param string    // the field, as the client calls it
	What  string    // what the channel does not have
	Where []Dialect // the dialects that have it
}

func (e *UnsupportedError) Error() string {
	if len(e.Where) == 0 {
		return e.What + " is not supported on a translated route"
	}
	return fmt.Sprintf("%s needs a channel that speaks %s", e.What, join(e.Where))
}

// InvalidError is the error of a body that is no request of the client's dialect. It
// is status 400.
type InvalidError struct {
	Param  string
	Reason string
}

func (e *InvalidError) Error() string {
	if e.Param == "" {
		return e.Reason
	}
	return e.Param + ": " + e.Reason
}

// Need is a part of a request that must not be left out.
type Need UnsupportedError

// Need records a part that must not be left out, and the dialects that have it.
func (r *Request) Need(param, what string, where ...Dialect) {
	r.Needs = append(r.Needs, Need{Param: param, What: what, Where: where})
}

// Check returns an error if a dialect lacks something that the request needs.
func (r *Request) Check(dialect Dialect) error {
	for _, need := range r.Needs {
		if !slices.Contains(need.Where, dialect) {
			err := UnsupportedError(need)
			return &err
		}
	}
	if n := r.Settings.Int(Count); n > 1 && dialect != Chat && dialect != Gemini {
		return &UnsupportedError{Param: r.Settings[Count].Name, What: "more than one choice", Where: []Dialect{Chat, Gemini}}
	}
	return nil
}

func join(dialects []Dialect) string {
	words := make([]string, len(dialects))
	for i, dialect := range dialects {
		words[i] = string(dialect)
	}
	return strings.Join(words, " or ")
}

// Error is an error of a provider, in a response or in the middle of a stream.
type Error struct {
	Status  int    // 0 in the middle of a stream that does not say it
	Type    string // the provider's word for the kind, such as rate_limit_error
	Code    string // OpenAI's code, or Google's status
	Param   string
	Message string
}

func (e *Error) Error() string { return e.Message }
