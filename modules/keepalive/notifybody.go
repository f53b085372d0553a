package keepalive

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// numericFields are the fields of events whose values are numbers. A field that
// an event does not have is empty.
var numericFields = []string{"status", "failures", "latency", "hours_left", "hours_wanted"}

var (
	// otherPlaceholder is one that is replaced when the configuration is loaded.
	otherPlaceholder = regexp.MustCompile(`\{(env|file|system|time)\.[^{}]*\}`)

	// jsonObject is how a body begins that is JSON and cannot be meant as text.
	jsonObject = regexp.MustCompile(`^[\s\[]*\{\s*["}]`)

	errNotJSON = errors.New("the body of the notification begins as JSON does and is none; look at its quotation marks, commas and braces")
)

// awkward is the text with which a body is tried: it has all that has a meaning
// in JSON.
const awkward = "\"a\": {b}, [c]\\\n"

// isJSON reports whether a body is JSON whatever the events are. One that is
// JSON for some events only is an error.
func isJSON(body string) (bool, error) {
	try := func(awkwardField string) bool {
		return json.Valid([]byte(fillAll(body, func(name string) string {
			if awkwardField == "" && !slices.Contains(numericFields, name) || name == awkwardField {
				return escapeJSON(awkward)
			}
			return "0"
		})))
	}
	if try("") {
		return true, nil
	}
	if !jsonObject.MatchString(eventPlaceholder.ReplaceAllLiteralString(body, "")) {
		return false, nil // plain text
	}
	for _, match := range eventPlaceholder.FindAllStringSubmatch(body, -1) {
		if name := match[1]; !slices.Contains(numericFields, name) && try("-") && !try(name) {
			return false, fmt.Errorf("%s is a text, so it needs quotation marks in JSON: \"%s\"", match[0], match[0])
		}
	}
	return false, errNotJSON
}

// checkBody checks a body as it stands in the configuration.
func checkBody(body string) error {
	_, err := isJSON(otherPlaceholder.ReplaceAllLiteralString(body, "0"))
	return err
}

// fillJSON replaces the placeholders of an event in a body that is JSON.
func fillJSON(body string, fields map[string]string) string {
	filled := fill(body, fields, escapeJSON)
	if json.Valid([]byte(filled)) {
		return filled
	}
	// A number without quotation marks that this event does not have.
	return fillAll(body, func(name string) string {
		if fields[name] == "" && slices.Contains(numericFields, name) {
			return "0"
		}
		return escapeJSON(fields[name])
	})
}

// checkPlaceholders refuses placeholders that would be sent as they are.
func checkPlaceholders(text string) error {
	list := strings.Join(eventFields[3:], "}, {event.")
	for _, match := range eventPlaceholder.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(eventFields, match[1]) {
			return fmt.Errorf("unknown placeholder %s; there are {event.name}, {event.target}, {event.message}, {event.%s}", match[0], list)
		}
	}
	for _, name := range eventFields {
		if strings.Contains(text, "{"+name+"}") {
			return fmt.Errorf("unknown placeholder {%s}; write {event.%s}", name, name)
		}
	}
	return nil
}
