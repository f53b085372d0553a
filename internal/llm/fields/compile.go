package fields

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rules are compiled rules. They do not change and may be used concurrently.
type Rules struct{ root *node }

// node is an object that rules change, or a list or object on the way to one.
//
//	drop messages[].name          root ─messages─▶ · ─[]─▶ · rules: drop name
//	set a.b 1                     root ─a─▶ · rules: set b      (root creates a)
type node struct {
	children map[string]*node  // by the name of the field, or each
	creates  []string          // of the children those that rules add, in their order
	names    map[string]string // the fields of this object that rules name, by themselves
	rules    []step
}

// step is a rule for the fields of one object.
//
// name is the field that is changed, to the new name of a rename and the role that a
// role rule looks for; value is JSON, and most the bound of at_most.
type step struct {
	op       Op
	name, to string
	value    []byte
	most     float64
}

// Compile checks rules and prepares them. It returns nil for no rules. Of two
// rules one may not change what is inside the field of the other.
//
// That would be ambiguous: `set a {}` and `drop a.b` give another result in each order,
// and the scanner would have to edit a text that is itself an edit.
func Compile(rules []Rule) (*Rules, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	root := new(node)
	for _, r := range rules {
		if err := r.Check(); err != nil {
			return nil, err
		}
		paths := r.Paths
		if r.Op == Role {
			paths = roles
		}
		for _, path := range paths {
			steps, _ := parsePath(path) // Check has parsed it
			parent := root.at(steps[:len(steps)-1], r.Op == Set || r.Op == Default)
			parent.add(r, steps[len(steps)-1])
		}
	}
	if err := root.check(nil); err != nil {
		return nil, err
	}
	return &Rules{root}, nil
}

// at returns the node at a path, and makes it if need be. adds says that a rule
// may add what is missing on the way.
//
// A list is never created: a rule for messages[].x means the messages that are there.
func (n *node) at(steps []string, adds bool) *node {
	for _, name := range steps {
		child := n.children[name]
		if child == nil {
			child = new(node)
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			n.children[name] = child
		}
		adds = adds && name != each
		if name != each {
			n.name(name)
		}
		if adds && !slices.Contains(n.creates, name) {
			n.creates = append(n.creates, name)
		}
		n = child
	}
	return n
}

// name records a name that rules use. The map's values are the keys themselves, so that
// a lookup by the bytes of the text gives a string without an allocation.
func (n *node) name(name string) {
	if n.names == nil {
		n.names = make(map[string]string)
	}
	n.names[name] = name
}

// add adds a rule for a field of the node.
func (n *node) add(r Rule, name string) {
	s := step{op: r.Op, name: name, to: r.To}
	switch r.Op {
	case Rename:
		n.name(r.To)
	case AtMost:
		s.most, _ = strconv.ParseFloat(string(r.Value), 64)
		s.value = r.Value
	case Role:
		s.name, s.to = name, r.From
		s.value, _ = json.Marshal(r.To)
	default:
		s.value = r.Value
	}
	n.name(name)
	n.rules = append(n.rules, s)
}

// check refuses rules for a field and for something in it.
func (n *node) check(path []string) error {
	for _, s := range n.rules {
		for _, name := range [...]string{s.name, s.to} {
			if s.op == Role && name == s.to || n.children[name] == nil {
				continue
			}
			field := strings.ReplaceAll(strings.Join(append(slices.Clone(path), name), "."), "."+each, each)
			return fmt.Errorf("there is a rule for %s and one for a field in it; keep one of the two", field)
		}
	}
	for name, child := range n.children {
		if err := child.check(append(slices.Clone(path), name)); err != nil {
			return err
		}
	}
	return nil
}

// Override returns the rules of both lists: those of base but for the ones that
// name a field which own names too, and then own.
//
// A preset's `drop seed logprobs` loses only the path that the channel has a rule for.
// Fields within and around a named one count as named, since Compile takes only one of
// the two.
func Override(base, own []Rule) []Rule {
	var named [][]string
	for _, r := range own {
		for _, path := range r.allPaths() {
			steps, _ := parsePath(path)
			named = append(named, steps)
		}
	}
	taken := func(path string) bool {
		steps, _ := parsePath(path)
		return slices.ContainsFunc(named, func(other []string) bool {
			n := min(len(steps), len(other))
			return slices.Equal(steps[:n], other[:n])
		})
	}
	var rules []Rule
	for _, r := range base {
		if r.Op == Drop {
			if r.Paths = slices.DeleteFunc(slices.Clone(r.Paths), taken); len(r.Paths) == 0 {
				continue
			}
		} else if slices.ContainsFunc(r.allPaths(), taken) {
			continue
		}
		rules = append(rules, r)
	}
	return append(rules, own...)
}
