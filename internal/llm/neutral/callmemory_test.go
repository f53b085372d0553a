package neutral

import (
	"fmt"
	"sync"
	"testing"
)

// Calls are recorded and looked up by many requests at once, and the memory stays
// within its size.
func TestCallMemoryIsShared(t *testing.T) {
	const most = 4 << 10
	m := NewCallMemory(most)
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 500 {
				id, written := fmt.Sprintf("call_%d_%d", worker%4, i%50), fmt.Sprintf(`{"a": %d}`, i%50)
				m.Record(id, written)
				got := m.Arguments(&ToolCall{ID: id, Input: fmt.Sprintf(`{"a":%d}`, i%50)})
				if got != written && got != fmt.Sprintf(`{"a":%d}`, i%50) {
					t.Errorf("%s: got %s, want %s or the client's form", id, got, written)
				}
			}
		})
	}
	wait.Wait()
	if m.bytes > most {
		t.Errorf("the memory holds %d bytes, want %d at most", m.bytes, most)
	}
	held := 0
	for e := m.order.Front(); e != nil; e = e.Next() {
		call := e.Value.(rememberedCall)
		held += len(call.id) + len(call.arguments)
	}
	if held != m.bytes {
		t.Errorf("the memory counts %d bytes, want %d", m.bytes, held)
	}
	if len(m.calls) != m.order.Len() {
		t.Errorf("%d calls are known, want %d", len(m.calls), m.order.Len())
	}
}
