package neutral

import "testing"

// TestNamesOfAllHashes has a client that declares the names that another tool's name
// would become, as many as fit into a body. If the time for each grew with their
// number, the test would not end.
func TestNamesOfAllHashes(t *testing.T) {
	const many = 300_000
	ref := ToolRef{Name: "a b"}
	tools := make([]Tool, 0, many+1)
	for salt := range many {
		tools = append(tools, Tool{ToolRef: ToolRef{Name: hashed(ref, salt)}})
	}
	names := NewNames(append(tools, Tool{ToolRef: ref}))
	if got := names.Declared(names.Sent(ref)); got != ref {
		t.Errorf("the name of the tool %q is that of %q", ref.Name, got.Name)
	}
}
