package neutral

import (
	"strconv"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// SettingID names a field that is a plain value in each dialect that has it. A
// dialect's table ([]Field) says which it has and what it calls them; the values are
// passed on as they are written. What has to be converted is not here but in Reasoning,
// Format and ToolChoice.
type SettingID int

const (
	MaxOutput SettingID = iota
	Temperature
	TopP
	TopK
	MinP
	RepetitionPenalty
	Seed
	FrequencyPenalty
	PresencePenalty
	Stop // an array of strings
	Count
	LogProbs
	TopLogProbs
	LogitBias
	Verbosity
	EndUser
	SafetyID
	CacheKey
	ServiceTier
	Metadata
	Store
	MaxToolCalls
	numSettings
)

// Setting is the value of a field, and how the client calls the field, for the list of
// what was dropped: generationConfig.topK for Gemini's.
type Setting struct {
	Name  string
	Value rawjson.Value
}

// Settings are the plain fields of a request. Those that were not sent are empty.
type Settings [numSettings]Setting

// IsSet reports whether the client has sent a field.
func (s *Settings) IsSet(id SettingID) bool { return len(s[id].Value) > 0 }

// Read records a field that the client has sent under a name, and reports whether
// the dialect's table has it. A field that is null was not sent.
//
// Two values are the dialects' own: a single stop sequence becomes an array, and one
// choice (n: 1) is what everybody gives, so that it is no reason to refuse or to report
// anything.
func (s *Settings) Read(table []Field, prefix, name string, value rawjson.Value) bool {
	for _, field := range table {
		if field.Name != name {
			continue
		}
		if value.IsSet() && !(field.ID == Count && string(value) == "1") {
			if field.ID == Stop && value.Is('"') {
				value = rawjson.Value("[" + string(value) + "]")
			}
			s[field.ID] = Setting{Name: prefix + name, Value: value}
		}
		return true
	}
	return false
}

// Field is what a dialect calls a setting.
type Field struct {
	ID   SettingID
	Name string
}

// Write writes the settings that a dialect's table has, in the table's order, and
// records the others as dropped.
//
// A table may name a setting twice, where an API has an older name too: the first is
// written.
func (s *Settings) Write(table []Field, w *rawjson.Writer, dropped *Dropped) {
	var written [numSettings]bool
	for _, field := range table {
		if s.IsSet(field.ID) && !written[field.ID] {
			w.KeyRaw(field.Name, s[field.ID].Value)
		}
		written[field.ID] = true
	}
	for id := range s {
		if s.IsSet(SettingID(id)) && !written[id] {
			dropped.Add(s[id].Name)
		}
	}
}

// Drop leaves a setting out and records it.
func (s *Settings) Drop(id SettingID, dropped *Dropped) {
	if s.IsSet(id) {
		dropped.Add(s[id].Name)
		s[id] = Setting{}
	}
}

// Int returns a setting that is a whole number, 0 if it is none.
func (s *Settings) Int(id SettingID) int64 {
	n, _ := s[id].Value.Int()
	return n
}

// CutStops leaves out the stop sequences that are more than a dialect takes.
//
// Chat takes 4 and Gemini 5 (November 2026); with more, the request would be refused.
func (s *Settings) CutStops(most int, dropped *Dropped) {
	stops := &s[Stop]
	if stops.Value.Len() <= most {
		return
	}
	var first rawjson.Writer
	first.Open('[')
	n := 0
	for stop := range stops.Value.Elements {
		if n++; n <= most {
			first.Raw(stop)
		}
	}
	first.Close(']')
	stops.Value = first.Bytes
	dropped.Add(stops.Name, "[", strconv.Itoa(most), ":]")
}
