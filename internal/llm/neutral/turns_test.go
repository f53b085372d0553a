package neutral

import "testing"

// A turn that comes in many messages is put together once, not anew with each.
func TestTurnOfManyMessages(t *testing.T) {
	const many = 1000
	r := &Request{}
	for range many {
		r.Messages = append(r.Messages, Message{Role: Assistant, Parts: []Part{{Kind: Text, Text: "a"}}})
	}
	first := r.Messages[0].Parts
	var turns []Message
	allocations := testing.AllocsPerRun(3, func() { turns = r.Turns() })
	if len(turns) != 1 || len(turns[0].Parts) != many {
		t.Errorf("got %d turns, want one of %d parts", len(turns), many)
	}
	if allocations > 50 {
		t.Errorf("%.0f allocations for %d messages", allocations, many)
	}
	if len(r.Messages[0].Parts) != 1 || &first[0] != &r.Messages[0].Parts[0] {
		t.Error("the request has changed")
	}
}
