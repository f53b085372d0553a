package llmgateway

import (
	"bytes"
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

// A client that may use some models only must not get at another one through a
// field beside the model: lists of stand-ins (models, fallbacks), options that a
// provider or an SDK passes on (provider, providerOptions, extra_body, plugins),
// the model of a session or of a tool. New fields of this kind appear all the
// time, so that all fields are searched but for those that hold the conversation.

// isSearched reports whether a field of the top level may name a model. Keys
// come as JSON has them, decoded.
func isSearched(key []byte) bool {
	switch string(key) {
	case "messages", "stream", "stream_options", "temperature", "max_tokens", "max_completion_tokens", "max_output_tokens", "top_p", "system": // most often
		return false
	}
	return !holdsContent(foldKey(key))
}

// isOddFormField reports whether a form's field may name a model beside the
// model, or has options in which one could be named.
func isOddFormField(name string) bool {
	if name == "model" {
		return false
	}
	key := foldKey([]byte(name))
	if namesModel(key) || !isPrintable([]byte(name)) {
		return true
	}
	for _, options := range [...]string{"provider", "extrabody", "session", "plugins", "tools"} {
		if strings.HasPrefix(key, options) {
			return true
		}
	}
	return false
}

// holdsContent reports whether a field, by its folded key, holds what the user
// says or a schema: there the word model means nothing.
func holdsContent(key string) bool {
	switch key {
	case "messages", "contents", "content", "prompt", "suffix", "system", "instructions", "systeminstruction", "documents", "query", "inputs",
		"metadata", "clientmetadata", "user", "labels", "stop", "description", "examples",
		"functions", "responseformat", "text", "format", "outputformat", "toolchoice", "toolconfig", "functiondeclarations",
		"schema", "jsonschema", "inputschema", "parametersjsonschema", "responseschema", "responsejsonschema", "properties":
		return true
	}
	return false
}

// namesModel reports whether a field, by its folded key, has names of models.
func namesModel(key string) bool {
	switch key {
	case "engine", "deployment", "deploymentid", "preset":
		return true
	}
	return strings.Contains(key, "model") || strings.Contains(key, "fallback")
}

// foldKey makes the ways alike in which keys are written: fallback_models,
// fallbackModels, "Fallback-Models".
func foldKey(key []byte) string {
	folded := make([]byte, 0, 32) // on the stack for most
	for _, c := range key {
		switch {
		case c >= 'A' && c <= 'Z':
			folded = append(folded, c|0x20)
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			folded = append(folded, c)
		}
	}
	return string(folded)
}

// checkOtherModels refuses a body that names a model which the client may not
// use in any of the fields that were noted for it.
func checkOtherModels(q *request) *apiError {
	if q.oddForm {
		return invalidModel("Your key is for some models only, and this form has a field that could name another.")
	}
	search := modelSearch{mayUse: q.client.mayUse}
	for _, field := range q.noted {
		search.field([]byte(field.Name), q.body.Slice(field.Start, field.End), false)
		if search.refused != nil {
			return search.refused
		}
	}
	return nil
}

// modelSearch looks for names of models in values of a JSON text.
type modelSearch struct {
	mayUse  func(model string) bool
	refused *apiError // the first that was found
	depth   int
}

// maxSearchDepth bounds how deep values are searched. Options do not nest so deep.
const maxSearchDepth = 32

// field searches a field of an object. inTool says that the object is a function
// of the client's own, which no provider runs.
func (s *modelSearch) field(key, value []byte, inTool bool) bool {
	folded := foldKey(key)
	switch {
	case !isPrintable(key):
		s.refused = invalidModel("Your key is for some models only, and a field of the body has a name that cannot be read.")
	case folded == "tools":
		reqbody.Elements(value, s.tool)
	case inTool || holdsContent(folded):
	case namesModel(folded):
		s.names(value)
	case folded == "input" && isList(value):
		reqbody.Elements(value, s.inputItem)
	default:
		s.value(value)
	}
	return s.refused == nil
}

// value searches an object or a list.
func (s *modelSearch) value(value []byte) bool {
	if s.enter() {
		reqbody.Fields(value, func(key, value []byte) bool { return s.field(key, value, false) })
		reqbody.Elements(value, s.value)
		s.depth--
	}
	return s.refused == nil
}

// enter goes one level deeper.
func (s *modelSearch) enter() bool {
	if s.depth == maxSearchDepth {
		s.refused = invalidModel("Your key is for some models only, and the body nests too deep to see which ones it names.")
		return false
	}
	s.depth++
	return true
}

// names checks all texts in a value that names models, but for what somebody
// says in it: some fallbacks are requests of their own.
func (s *modelSearch) names(value []byte) bool {
	if text := reqbody.Text(value); text != nil {
		name := strings.TrimPrefix(strings.TrimSpace(string(text)), "models/")
		if name != "" && !s.mayUse(name) {
			s.refused = modelNotFound(name)
		}
		return s.refused == nil
	}
	if s.enter() {
		reqbody.Elements(value, s.names)
		reqbody.Fields(value, func(key, value []byte) bool {
			return holdsContent(foldKey(key)) || s.names(value)
		})
		s.depth--
	}
	return s.refused == nil
}

// tool searches a declaration of a tool. Functions are the client's own; the
// tools of a provider may run a model, and say so anywhere.
func (s *modelSearch) tool(tool []byte) bool {
	own := true
	reqbody.Fields(tool, func(key, value []byte) bool {
		if string(key) == "type" {
			kind := string(reqbody.Text(value))
			own = own && slices.Contains([]string{"", "function", "custom", "namespace"}, kind)
		}
		return true
	})
	if s.enter() {
		reqbody.Fields(tool, func(key, value []byte) bool { return s.field(key, value, own) })
		s.depth--
	}
	return s.refused == nil
}

// inputItem searches an item of the Responses API, which may declare tools.
func (s *modelSearch) inputItem(item []byte) bool {
	reqbody.Fields(item, func(key, value []byte) bool {
		if foldKey(key) == "tools" {
			reqbody.Elements(value, s.tool)
		}
		return s.refused == nil
	})
	return s.refused == nil
}

func isList(value []byte) bool { return len(value) > 0 && value[0] == '[' }

// isPrintable reports whether a key has visible characters of ASCII only, as
// those of all APIs do: what else there is some parser may drop or replace.
func isPrintable(key []byte) bool {
	return !bytes.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' })
}
