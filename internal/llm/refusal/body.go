package refusal

import (
	"net/http"
	"strconv"
	"strings"
)

// deepest is how many errors within errors are read. Relays wrap each other's
// errors; three levels occur, and a hostile body must not cost more.
const deepest = 6

// reader fills facts from a JSON body. It reads only the members that state what
// went wrong, in the forms that providers are known to send:
//
//	{"error": {"message": …, "type": …, "code": …, "param": …}}        OpenAI and most others
//	{"type": "error", "error": {"type": …, "message": …}}              Anthropic
//	[{"error": {"code": 429, "status": …, "details": [{"@type": …}]}}] Google, AIP-193
//	{"error": {"code": 429, "metadata": {"raw": …, "headers": …}}}     OpenRouter
//	{"errors": [{"code": 3036, "message": …}], "success": false}       Cloudflare
//	{"base_resp": {"status_code": 1008, "status_msg": …}}              MiniMax
//	{"object": "error", "message": …, "code": "3505"}                  Mistral
//	{"code": 30001, "message": …, "data": null}                        SiliconFlow
//	{"detail": [{"loc": …, "msg": …, "type": …}]}                      pydantic, so vLLM and others
type reader struct {
	*facts
	depth int // of the object that is being read; see deepest
}

// readRoot reads the whole body. Several places can hold an error; all of them
// are read, since relays fill more than one.
func (r *reader) readRoot(root value) {
	if !root.isObject() {
		r.addMessage(root.text())
		return
	}
	r.readLevel(root, true)
	failure := root.get("error")
	switch {
	case failure.isString():
		r.addMessage(failure.text())
		r.names.add(failure.text())
	case failure.isArray(), failure.isObject():
		r.readError(failure.first())
	}
	if errors := root.get("errors"); errors.isSet() {
		r.readErrors(errors, root)
	}
	if response := root.get("response"); response.isObject() {
		r.readError(response.get("error"))
		r.readReason(response.get("incomplete_details"))
	}
	r.readError(root.get("choices").first().get("error"))
	if base := root.get("base_resp"); base.isObject() {
		r.names.addNumber("minimax", base.get("status_code").text())
		r.addMessage(base.get("status_msg").text())
	}
	r.noRoute = r.noRoute || root.get("path").isString() && root.get("timestamp").isSet()
}

// readError reads an error object, and the one that may be inside it: Azure has
// `innererror`, relays put an `error` into their own.
func (r *reader) readError(failure value) {
	if !failure.isObject() {
		return
	}
	r.readLevel(failure, false)
	for _, name := range [...]string{"error", "innererror", "inner_error"} {
		if inner := failure.get(name); inner.isObject() {
			r.readLevel(inner, false)
		}
	}
	for e := range failure.get("errors").items {
		r.names.add(e.get("reason").text()) // Google's older form
	}
}

// readErrors reads the first element of a list of errors. With `"success": false`
// next to it the list is Cloudflare's, and its codes are Cloudflare's numbers.
func (r *reader) readErrors(errors, root value) {
	first := errors.first()
	if first.isString() {
		r.addMessage(first.text())
		return
	}
	r.readLevel(first, false)
	if code := first.get("code"); isDigits(code.text()) && root.get("success").kind() == 'f' {
		r.names.addNumber("cloudflare", code.text())
	}
}

// readLevel reads the members of one object that state what went wrong. Nothing
// else is read: other members may repeat the request, and a client must not be
// able to put a key in cooldown by what it writes into its prompt.
func (r *reader) readLevel(object value, root bool) {
	if r.depth >= deepest {
		return
	}
	r.depth++
	defer func() { r.depth-- }()
	for name, v := range object.fields {
		switch string(name) {
		case "code", "error_code", "errcode", "err_code":
			r.readCode(v, object, root)
		case "type", "error_type", "errorType", "error_name", "limit_source", "__type":
			if v.isString() {
				r.names.add(v.text())
			}
		case "status", "status_code", "statusCode", "http_status":
			r.readStatus(v)
		case "reason":
			r.readReason(object)
		case "message", "msg", "error_msg", "error_message", "errorMessage", "error_description":
			r.readMessage(v)
		case "title":
			if !object.get("detail").isSet() { // RFC 9457: beside a detail it is the status in words
				r.readMessage(v)
			}
		case "detail", "details":
			r.readDetails(v)
		case "param":
			r.params = append(r.params, fold(v.text()))
		case "metadata":
			r.readMetadata(v)
		case "availability":
			r.names.add(v.get("code").text())
			r.addTime(v.get("retry_after"), "availability.retry_after")
		case "cloudflare_error":
			r.page.cloudflareError, _ = strconv.Atoi(object.get("error_code").text())
		default:
			r.readTime(string(name), v)
		}
	}
}

// readCode reads a code: a name, a status, "429 TOO_MANY_REQUESTS", or a number
// that means something at one provider only. Numbers are told apart by their
// length and by what surrounds them: Mistral's four digits stand in a string at
// the root of an object of type error, Z.ai's in a string anywhere,
// SiliconFlow's five beside `data`.
func (r *reader) readCode(v, object value, root bool) {
	text := v.text()
	if number, _, ok := strings.Cut(text, " "); ok && len(number) == 3 && isDigits(number) {
		text = number
	}
	if !isDigits(text) {
		r.names.add(text)
		return
	}
	switch n, _ := strconv.Atoi(text); {
	case n >= 400 && n <= 599:
		r.setStatus(n)
	case len(text) == 4 && v.isString() && root && object.get("object").is("error"):
		r.names.addNumber("mistral", text)
	case len(text) == 4 && v.isString():
		r.names.addNumber("zai", text)
	case len(text) == 5 && root && object.get("data") != nil:
		r.names.addNumber("siliconflow", text)
	}
}

// readStatus reads a status: a number, or a name such as Google's
// RESOURCE_EXHAUSTED.
func (r *reader) readStatus(v value) {
	if n, err := strconv.Atoi(v.text()); err == nil {
		if n >= 400 && n <= 599 {
			r.setStatus(n)
		}
		return
	}
	if v.isString() {
		r.names.add(v.text())
	}
}

// setStatus sets the status of an error that came without one. The outermost
// error counts, since it is read first.
func (r *reader) setStatus(n int) {
	if r.status == 0 {
		r.status = n
	}
}

// readReason reads Google's ErrorInfo.reason and the same member elsewhere.
func (r *reader) readReason(object value) {
	if reason := object.get("reason"); reason.isString() && !strings.Contains(reason.text(), " ") {
		r.names.add(reason.text())
	}
}

// readMessage reads a message. It may be an object, or the JSON text of the error
// that a relay received.
func (r *reader) readMessage(v value) {
	if v.isObject() {
		r.readLevel(v, false)
		return
	}
	text := v.text()
	if inner := parse([]byte(text)); inner.first().isObject() {
		r.readNested(inner.first())
		return
	}
	r.addMessage(text)
}

// readNested reads an error that is quoted in a message of another one. Where the
// status leaves open that the prompt is quoted instead, only the messages count:
// the names and times could be the client's.
func (r *reader) readNested(root value) {
	nested := reader{facts: &facts{in: r.in, status: r.in.Status}, depth: r.depth + 1}
	if failure := root.get("error"); failure.isObject() {
		nested.readLevel(failure, false)
	} else {
		nested.readLevel(root, false)
		nested.addMessage(failure.text())
	}
	r.messages.raw = append(r.messages.raw, nested.messages.raw...)
	r.messages.plain = append(r.messages.plain, nested.messages.plain...)
	if repeatsPrompt(r.in.Status) {
		return
	}
	r.names = append(r.names, nested.names...)
	r.quota.ids = append(r.quota.ids, nested.quota.ids...)
	r.quota.zero = r.quota.zero || nested.quota.zero
	r.times = append(r.times, nested.times...)
}

// repeatsPrompt reports whether the message of an error with this status may quote
// the prompt. Authentication, credit and limits are checked before a provider
// reads the prompt, and a server failure is not about it.
func repeatsPrompt(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusTooManyRequests:
		return false
	}
	return status < 500
}

// readDetails reads Google's list of details (AIP-193: ErrorInfo, QuotaFailure,
// RetryInfo), pydantic's list of validation errors, or a text.
func (r *reader) readDetails(v value) {
	switch {
	case v.isString():
		r.addMessage(v.text())
	case v.isObject():
		r.readLevel(v, false)
	}
	for detail := range v.items {
		r.readReason(detail)
		for violation := range detail.get("violations").items {
			r.readViolation(violation)
		}
		r.readRetryDelay(detail.get("retryDelay"))
		if detail.get("loc") != nil { // pydantic
			r.names.add(detail.get("type").text())
			r.addMessage(detail.get("msg").text())
		}
	}
}

// readViolation reads one violation of a QuotaFailure; see quotas.
func (r *reader) readViolation(violation value) {
	if id := violation.get("quotaId"); id.isString() {
		r.quota.ids = append(r.quota.ids, id.text())
	}
	if q := violation.get("quotaValue").text(); q == "0" {
		r.quota.zero = true
	}
}

// readMetadata reads OpenRouter's metadata. Its member `raw` is the response of the
// provider behind OpenRouter, as an object or as JSON text; `headers` are that
// provider's.
func (r *reader) readMetadata(metadata value) {
	r.readLevel(metadata, false)
	for _, name := range [...]string{"reasons", "flagged_input", "patterns"} {
		r.flagged = r.flagged || metadata.get(name).isSet()
	}
	raw := metadata.get("raw")
	if raw.isObject() {
		r.readNested(raw)
	} else if text := raw.text(); text != "" {
		r.readMessage(raw)
	}
	if headers := metadata.get("headers"); headers.isObject() {
		r.times = append(r.times, nestedHeader(headers, r.in.Now)...)
	}
}

// addMessage adds a message. Z.ai's Messages API puts its code in front of the
// text, as in "[1302] …".
func (r *reader) addMessage(message string) {
	text := r.messages.add(message, r.in.Model)
	if len(text) > 6 && text[0] == '[' && text[5] == ']' && isDigits(text[1:5]) {
		r.names.addNumber("zai", text[1:5])
	}
}

// timeFields are the members of errors that state when to try again, folded.
var timeFields = map[string]bool{
	"retryafter": true, "retryafterseconds": true, "retryafterms": true, "retrydelay": true,
	"resetsat": true, "resetat": true, "resettime": true, "resetsinseconds": true, "resetinseconds": true,
	"estimatedtime": true,
}

// readTime reads a member if its name is one of timeFields.
func (r *reader) readTime(name string, v value) {
	folded := fold(name)
	if !timeFields[folded] {
		return
	}
	switch {
	case folded == "retrydelay":
		r.readRetryDelay(v)
	case strings.HasSuffix(folded, "ms"):
		if ms, err := strconv.ParseFloat(v.text(), 64); err == nil {
			r.times = append(r.times, statedTime{r.in.Now.Add(seconds(ms / 1000)), name})
		}
	default:
		r.addTime(v, name)
	}
}

// readRetryDelay reads Google's RetryInfo (AIP-193): "34s" in JSON, or an object
// with seconds and nanos where a client library has encoded it.
func (r *reader) readRetryDelay(v value) {
	if v.isObject() {
		v = v.get("seconds")
	}
	r.addTime(v, "retryDelay")
}

func (r *reader) addTime(v value, source string) {
	if at, ok := moment(v.text(), r.in.Now); ok {
		r.times = append(r.times, statedTime{at, source})
	}
}
