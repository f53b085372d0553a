package neutral

import (
	"container/list"
	"encoding/json"
	"reflect"
	"sync"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// CallMemory remembers how models have written the arguments of their calls, for
// clients that send them back in another form: as an object, whose space and escapes
// are lost, or as the text in it. A model that reads its own bytes again finds them
// in the provider's prompt cache.
//
// It is a help and no more: what is not remembered, such as after a restart, is
// written anew. It is safe for concurrent use.
//
// The arguments {"path": "a"} of a Chat model become the object {"path":"a"} of a
// client that speaks Messages; without the memory the next turn would write them
// without the space, and the cached prefix would end at the first call. One memory
// serves all clients of a gateway: what it returns is checked to mean the same as what
// the client has sent, so that no client can learn another's arguments by guessing an
// id.
type CallMemory struct {
	mu    sync.Mutex
	most  int // bytes
	bytes int
	calls map[string]*list.Element // of rememberedCall, by the id that the client has
	order list.List                // the newest first
}

type rememberedCall struct{ id, arguments string }

// NewCallMemory returns a memory that holds a number of bytes at most.
func NewCallMemory(most int) *CallMemory {
	return &CallMemory{most: most, calls: make(map[string]*list.Element)}
}

// Record remembers the arguments of a call.
//
// No call takes more than a sixteenth of the memory.
func (m *CallMemory) Record(id, arguments string) {
	if m == nil || len(arguments) > m.most/16 {
		return
	}
	id = CallID(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.calls[id]; ok {
		m.remove(known)
	}
	m.calls[id] = m.order.PushFront(rememberedCall{id, arguments})
	for m.bytes += len(id) + len(arguments); m.bytes > m.most; {
		m.remove(m.order.Back())
	}
}

func (m *CallMemory) remove(e *list.Element) {
	call := m.order.Remove(e).(rememberedCall)
	delete(m.calls, call.id)
	m.bytes -= len(call.id) + len(call.arguments)
}

// Arguments returns the arguments of a call for a channel that takes them as text:
// as the model has written them, if that is known and means the same.
func (m *CallMemory) Arguments(call *ToolCall) string {
	written := m.lookup(CallID(call.ID))
	switch {
	case call.Kind == Freeform && written != "" && FreeformText(written) == call.Input:
		return written
	case call.Kind == Freeform:
		return FreeformArguments(call.Input)
	case written != "" && sameJSON(written, call.Input):
		return written
	case call.Input == "":
		return "{}"
	}
	return call.Input
}

func (m *CallMemory) lookup(id string) string {
	if m == nil {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.calls[id]; ok {
		return e.Value.(rememberedCall).arguments
	}
	return ""
}

// sameJSON reports whether two texts mean the same.
func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// isOwnForm reports whether arguments are written as this package does it, so that
// they need not be remembered.
func isOwnForm(kind ToolKind, arguments string) bool {
	if kind == Freeform {
		return FreeformArguments(FreeformText(arguments)) == arguments
	}
	v, err := rawjson.Parse([]byte(arguments))
	if err != nil {
		return true
	}
	var w rawjson.Writer
	rewrite(&w, v, maxSchemaDepth)
	return string(w.Bytes) == arguments
}

// rewrite writes a value as a client does that has parsed it, what is deeper than
// most as it is.
func rewrite(w *rawjson.Writer, v rawjson.Value, most int) {
	switch {
	case most == 0:
		w.Raw(v)
	case v.Is('{'):
		w.Open('{')
		for name, member := range v.Members {
			w.Name(name)
			rewrite(w, member, most-1)
		}
		w.Close('}')
	case v.Is('['):
		w.Open('[')
		for element := range v.Elements {
			rewrite(w, element, most-1)
		}
		w.Close(']')
	case v.Is('"'):
		w.String(v.Text())
	default:
		w.Raw(v)
	}
}
