package neutral

import (
	"slices"
	"strings"
)

// maxDropped bounds how many fields are named. A request with more of them is
// told that there are more.
const maxDropped = 40

// Dropped lists the fields and tools of a request that were left out, as the
// client calls them: paths without indexes, such as messages[].cache_control.
//
// They go to the client in the header X-Gateway-Dropped. Values never do: they may be
// parts of a prompt.
type Dropped struct {
	names []string
}

// Add records a field by the parts of its path.
func (d *Dropped) Add(path ...string) {
	name := path[0]
	if len(path) > 1 {
		name = strings.Join(path, "")
	}
	name = headerSafe(name)
	switch {
	case len(d.names) > maxDropped || slices.Contains(d.names, name):
	case len(d.names) == maxDropped:
		d.names = append(d.names, "…")
	default:
		d.names = append(d.names, name)
	}
}

// Names returns what was recorded, in order.
func (d *Dropped) Names() []string { return d.names }

// Clone returns a list that grows independently of this one.
func (d *Dropped) Clone() Dropped { return Dropped{slices.Clone(d.names)} }

// Header returns the value of X-Gateway-Dropped, "" if nothing was dropped.
func (d *Dropped) Header() string {
	return strings.ReplaceAll(strings.Join(d.names, ", "), "…", "...")
}

// headerSafe bounds a name that a client has chosen, and takes out of it what may
// not stand in a header or would look like two names.
func headerSafe(name string) string {
	const longest = 80
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ',' {
			return '_'
		}
		return r
	}, name)
	if len(name) > longest {
		name = name[:longest]
	}
	return name
}
