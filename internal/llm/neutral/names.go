package neutral

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// maxName is the longest name of a tool that all dialects take.
const maxName = 64

// Names maps the names of a request's tools to names that every dialect takes
// (a letter or _, then letters, digits, _ and -; 64 at most), and back. A name
// that needs no change is not changed. The same tools in the same order get the
// same names in each turn and process.
//
// Chat, Responses and Messages take [a-zA-Z0-9_-], Gemini dots and colons too but no
// digit or dash at the beginning. Names occur in the declarations, in the choice, in
// the history and in the response; all of them go through here.
//
//	mcp.files/read                          mcp_files_read_<8 hex digits>
//	namespace "github", tool "search"       github__search
type Names struct {
	sent     map[ToolRef]string // without Kind
	declared map[string]ToolRef
}

// NewNames returns the names of tools.
func NewNames(tools []Tool) *Names {
	n := &Names{sent: make(map[ToolRef]string, len(tools)), declared: make(map[string]ToolRef, len(tools))}
	for i := range tools {
		if tools[i].IsClientTool() {
			n.add(tools[i].ToolRef)
		}
	}
	return n
}

func (n *Names) add(ref ToolRef) {
	key := ToolRef{Namespace: ref.Namespace, Name: ref.Name}
	if _, ok := n.sent[key]; ok {
		return
	}
	name := flatten(key)
	for salt := 0; ; salt++ {
		if _, taken := n.declared[name]; !taken {
			break
		}
		name = hashed(key, salt)
	}
	n.sent[key] = name
	n.declared[name] = ref
}

// Sent returns the name of a tool towards the channel.
func (n *Names) Sent(ref ToolRef) string {
	key := ToolRef{Namespace: ref.Namespace, Name: ref.Name}
	if name, ok := n.sent[key]; ok {
		return name
	}
	return flatten(key)
}

// Declared returns the tool that the client knows by the name that a model has
// called. A name that was not declared is returned as it is, as a function's.
//
// Models do call tools that nobody has declared; the client answers with an error that
// the model understands.
func (n *Names) Declared(name string) ToolRef {
	if ref, ok := n.declared[name]; ok {
		return ref
	}
	return ToolRef{Name: name}
}

// flatten returns the name of a tool that collides with no other.
func flatten(ref ToolRef) string {
	name := ref.Name
	if ref.Namespace != "" {
		name = ref.Namespace + "__" + ref.Name
	}
	if isName(name) {
		return name
	}
	return hashed(ref, 0)
}

// hashed returns a name with the beginning of the tool's own and a hash of all of
// it.
//
// The salt tells two tools apart whose hashed names are the same, or where somebody has
// declared a name that looks hashed. Who declares all that come of a name makes us try
// as many, so that the text must not grow with the salt.
func hashed(ref ToolRef, salt int) string {
	const digits = 8
	text := ref.Namespace + "\x00" + ref.Name
	if salt > 0 {
		text += "\x00" + strconv.Itoa(salt)
	}
	sum := sha256.Sum256([]byte(text))
	readable := ref.Name
	if ref.Namespace != "" {
		readable = ref.Namespace + "__" + ref.Name
	}
	name := strings.Map(func(r rune) rune {
		if isNameChar(r) {
			return r
		}
		return '_'
	}, readable)
	if name == "" || !isNameStart(rune(name[0])) {
		name = "_" + name
	}
	name = name[:min(len(name), maxName-1-digits)]
	return name + "_" + hex.EncodeToString(sum[:digits/2])
}

func isName(name string) bool {
	if name == "" || len(name) > maxName || !isNameStart(rune(name[0])) {
		return false
	}
	for _, r := range name {
		if !isNameChar(r) {
			return false
		}
	}
	return true
}

func isNameStart(r rune) bool {
	return r == '_' || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
}

func isNameChar(r rune) bool { return isNameStart(r) || r == '-' || (r >= '0' && r <= '9') }
