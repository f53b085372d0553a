package refusal

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// form is what a body is, whatever its Content-Type says.
type form uint8

const (
	formEmpty form = iota
	formJSON
	formPage // HTML or XML
	formText
)

// deepest is how many errors within errors are read.
const deepest = 6

// facts are what a response says, read once for all rules.
type facts struct {
	in     *Input
	form   form
	status int // what the response stands for; 0: not known (an error in a stream)

	// words are the names of errors, folded: codes, types, reasons. A number
	// that means something at its owner only is written owner:number.
	words []string
	// texts are the messages in plain form, messages as they are.
	texts, messages []string
	params          []string
	title           string // of a page

	quotaIDs         []string
	zeroQuota        bool
	flagged          bool // the provider says which part of the prompt it refused
	google           bool // details in Google's form
	cloudflareError  int  // Cloudflare's own 1xxx or 5xx, not the upstream's
	noRoute          bool // a web framework's response to an unknown path
	limit, requested int64
	success          bool // an error object that says that there is none
	depth            int

	waits []wait // in the body's fields
}

// wait is a time that a provider states.
type wait struct {
	until  time.Time
	source string
}

// read reads a response.
func read(in *Input) *facts {
	f := &facts{in: in, status: in.Status}
	if in.InStream || in.Status < 300 {
		f.status = 0
	}
	body := trimStart(in.Body[:min(len(in.Body), longestBody)])
	body = eventData(body)
	switch v := parse(body); {
	case len(body) == 0:
	case v != nil:
		f.form = formJSON
		f.readRoot(v.first())
	case body[0] == '<' || isHTML(in.Header):
		f.form = formPage
		f.readPage(string(body))
	default:
		f.form = formText
		f.addMessage(string(body))
		f.readPage(string(body))
	}
	f.readSizes()
	if f.status == 0 {
		f.status = f.statusOfWords()
	}
	return f
}

// eventData returns the data of the first event if body is a stream of events:
// some providers refuse in the form that was asked for.
func eventData(body []byte) []byte {
	if !isEvents(body) {
		return body
	}
	e, _ := NextEvent(body, true)
	return trimStart(e.Data)
}

func isHTML(header http.Header) bool {
	return strings.HasPrefix(strings.TrimSpace(strings.ToLower(header.Get("Content-Type"))), "text/html")
}

func (f *facts) readRoot(root value) {
	if !root.isObject() {
		f.addMessage(root.text())
		return
	}
	f.readLevel(root, true)
	failure := root.get("error")
	switch {
	case failure.isString():
		f.addMessage(failure.text())
		f.addWord(failure.text())
	case failure.isArray(), failure.isObject():
		f.readError(failure.first())
	}
	if errors := root.get("errors"); errors.isSet() {
		f.readErrors(errors, root)
	}
	if response := root.get("response"); response.isObject() {
		f.readError(response.get("error"))
		f.readReason(response.get("incomplete_details"))
	}
	f.readError(root.get("choices").first().get("error"))
	if base := root.get("base_resp"); base.isObject() {
		f.words = append(f.words, "minimax:"+base.get("status_code").text())
		f.addMessage(base.get("status_msg").text())
	}
	f.noRoute = f.noRoute || root.get("path").isString() && root.get("timestamp").isSet()
}

// readError reads an error object, and the one that may be in it.
func (f *facts) readError(failure value) {
	if !failure.isObject() {
		return
	}
	f.readLevel(failure, false)
	for _, name := range [...]string{"error", "innererror", "inner_error"} {
		if inner := failure.get(name); inner.isObject() {
			f.readLevel(inner, false)
		}
	}
	for e := range failure.get("errors").items {
		f.addWord(e.get("reason").text()) // Google's older form
	}
}

// readErrors reads Cloudflare's list of errors, and other APIs' `errors`.
func (f *facts) readErrors(errors, root value) {
	first := errors.first()
	if first.isString() {
		f.addMessage(first.text())
		return
	}
	f.readLevel(first, false)
	if code := first.get("code"); isDigits(code.text()) && root.get("success").kind() == 'f' {
		f.words = append(f.words, "cloudflare:"+code.text())
	}
}

// readLevel reads the members of one object that say what went wrong. Nothing
// else is read: other members may repeat the request.
func (f *facts) readLevel(object value, root bool) {
	if f.depth >= deepest {
		return
	}
	f.depth++
	defer func() { f.depth-- }()
	for name, v := range object.fields {
		switch string(name) {
		case "code", "error_code", "errcode", "err_code":
			f.readCode(v, object, root)
		case "type", "error_type", "errorType", "error_name", "limit_source", "__type":
			if v.isString() {
				f.addWord(v.text())
			}
		case "status", "status_code", "statusCode", "http_status":
			f.readStatus(v)
		case "reason":
			f.readReason(object)
		case "message", "msg", "error_msg", "error_message", "errorMessage", "error_description":
			f.readMessage(v)
		case "title":
			if !object.get("detail").isSet() { // else it is the status in words
				f.readMessage(v)
			}
		case "detail", "details":
			f.readDetails(v)
		case "param":
			f.params = append(f.params, fold(v.text()))
		case "metadata":
			f.readMetadata(v)
		case "availability":
			f.addWord(v.get("code").text())
			f.addWait(v.get("retry_after"), "availability.retry_after")
		case "cloudflare_error":
			f.cloudflareError, _ = strconv.Atoi(object.get("error_code").text())
		default:
			f.readWait(string(name), v)
		}
	}
}

// readCode reads a code: a name, a status, "429 WORDS", or a number that means
// something at one provider only.
func (f *facts) readCode(v, object value, root bool) {
	text := v.text()
	if number, words, ok := strings.Cut(text, " "); ok && len(number) == 3 && isDigits(number) {
		f.success = f.success || number == "200" && words == "OK"
		text = number
	}
	if !isDigits(text) {
		f.addWord(text)
		return
	}
	switch n, _ := strconv.Atoi(text); {
	case n == 200 || n == 0:
		f.success = true
	case n >= 400 && n <= 599:
		f.setStatus(n)
	case len(text) == 4 && v.isString() && root && object.get("object").is("error"):
		f.words = append(f.words, "mistral:"+text)
	case len(text) == 4 && v.isString():
		f.words = append(f.words, "zai:"+text)
	case len(text) == 5 && root && object.get("data") != nil:
		f.words = append(f.words, "siliconflow:"+text)
	}
}

func (f *facts) readStatus(v value) {
	if n, err := strconv.Atoi(v.text()); err == nil {
		if n >= 400 && n <= 599 {
			f.setStatus(n)
		}
		return
	}
	if v.isString() {
		f.addWord(v.text())
	}
}

// setStatus sets the status of an error that came without one.
func (f *facts) setStatus(n int) {
	if f.status == 0 {
		f.status = n
	}
}

func (f *facts) readReason(object value) {
	if reason := object.get("reason"); reason.isString() && !strings.Contains(reason.text(), " ") {
		f.addWord(reason.text())
	}
}

// readMessage reads a message, which may be an object, or the JSON text of the
// error that a relay got. Of such a text only messages are read where it could
// be the prompt's.
func (f *facts) readMessage(v value) {
	if v.isObject() {
		f.readLevel(v, false)
		return
	}
	text := v.text()
	if inner := parse([]byte(text)); inner.first().isObject() {
		f.readNested(inner.first())
		return
	}
	f.addMessage(text)
}

// readNested reads an error that stands as a text in another one.
func (f *facts) readNested(root value) {
	nested := &facts{in: f.in, status: f.in.Status, depth: f.depth + 1}
	if failure := root.get("error"); failure.isObject() {
		nested.readLevel(failure, false)
	} else {
		nested.readLevel(root, false)
		nested.addMessage(failure.text())
	}
	f.texts = append(f.texts, nested.texts...)
	f.messages = append(f.messages, nested.messages...)
	if repeatsPrompt(f.in.Status) {
		return
	}
	f.words = append(f.words, nested.words...)
	f.quotaIDs = append(f.quotaIDs, nested.quotaIDs...)
	f.waits = append(f.waits, nested.waits...)
	f.zeroQuota = f.zeroQuota || nested.zeroQuota
	f.google = f.google || nested.google
}

// repeatsPrompt reports whether an error of this status may have the prompt in
// its message: one about the request's content. Limits, credit and failures
// come before or behind anybody reads that.
func repeatsPrompt(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusTooManyRequests:
		return false
	}
	return status < 500
}

// readDetails reads Google's details, a validator's list of faults, or a text.
func (f *facts) readDetails(v value) {
	switch {
	case v.isString():
		f.addMessage(v.text())
	case v.isObject():
		f.readLevel(v, false)
	}
	for detail := range v.items {
		kind := detail.get("@type").text()
		f.google = f.google || strings.HasSuffix(kind, "QuotaFailure") || strings.HasSuffix(kind, "ErrorInfo")
		f.readReason(detail)
		for violation := range detail.get("violations").items {
			f.readViolation(violation)
		}
		f.readRetryDelay(detail.get("retryDelay"))
		if detail.get("loc") != nil { // pydantic
			f.addWord(detail.get("type").text())
			f.addMessage(detail.get("msg").text())
		}
	}
}

func (f *facts) readViolation(violation value) {
	if id := violation.get("quotaId"); id.isString() {
		f.google = true
		f.quotaIDs = append(f.quotaIDs, id.text())
	}
	if q := violation.get("quotaValue").text(); q == "0" {
		f.zeroQuota = true
	}
}

// readMetadata reads OpenRouter's metadata. raw is what the provider behind it
// said.
func (f *facts) readMetadata(metadata value) {
	f.readLevel(metadata, false)
	for _, name := range [...]string{"reasons", "flagged_input", "patterns"} {
		f.flagged = f.flagged || metadata.get(name).isSet()
	}
	raw := metadata.get("raw")
	if raw.isObject() {
		f.readNested(raw)
	} else if text := raw.text(); text != "" {
		f.readMessage(raw)
	}
	if headers := metadata.get("headers"); headers.isObject() {
		f.waits = append(f.waits, nestedHeader(headers, f.in.Now)...)
	}
}

// addWord adds the name of an error. What has spaces in it is a sentence.
func (f *facts) addWord(word string) {
	if strings.Contains(word, " ") {
		return
	}
	if word = fold(word); word != "" && len(word) <= 80 {
		f.words = append(f.words, word)
	}
}

func (f *facts) addMessage(message string) {
	if message == "" {
		return
	}
	f.messages = append(f.messages, message)
	// The name of the model is the client's: OpenRouter begins a message with it.
	text := plain(without(message, f.in.Model))
	if text == "" {
		return
	}
	f.texts = append(f.texts, text)
	// Z.ai's Messages API has its code in the text.
	if len(text) > 6 && text[0] == '[' && text[5] == ']' && isDigits(text[1:5]) {
		f.words = append(f.words, "zai:"+text[1:5])
	}
}

// message returns the message for the client.
func (f *facts) message() string {
	for _, m := range f.messages {
		if f.form == formJSON && strings.TrimSpace(m) != "" {
			return strings.ToValidUTF8(m[:min(len(m), longestText)], "")
		}
	}
	if f.form == formText {
		return strings.ToValidUTF8(f.messages[0][:min(len(f.messages[0]), longestText)], "")
	}
	return ""
}
