package neutral

import (
	"slices"
	"strings"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/rawjson"
)

// reference writes what a $ref stands for. A reference inside of itself, one to
// nothing, and all that come after too many become a schema that allows
// everything.
func (c *schemaWriter) reference(ref string, v rawjson.Value, depth int) {
	target := c.resolve(ref)
	isLarge := len(c.w.Bytes) > maxSchemaBytes || c.cost.growth > maxSchemaGrowth
	if !target.Is('{') || slices.Contains(c.refs, ref) || isLarge {
		c.lose("$ref")
		c.w.Open('{')
		if description := v.Get("description"); description.Is('"') {
			c.w.KeyRaw("description", description)
		}
		c.w.Close('}')
		return
	}
	c.refs = append(c.refs, ref)
	c.schema(c.withSiblings(target, v), depth+1)
	c.refs = c.refs[:len(c.refs)-1]
}

// withSiblings returns a schema with the keywords that stand beside the reference
// to it. Of a keyword that both have, that beside the reference counts.
//
// JSON Schema allows siblings since draft 2019-09, and Pydantic writes description and
// default there. Google refuses any beside a $ref.
func (c *schemaWriter) withSiblings(target, v rawjson.Value) rawjson.Value {
	if v.Len() == 1 {
		return target
	}
	var w rawjson.Writer
	w.Open('{')
	beside := make(map[string]rawjson.Value)
	for name, member := range v.Members {
		if name != "$ref" && name != "$defs" && name != "definitions" {
			beside[name] = member
			w.Name(name)
			w.Raw(member)
		}
	}
	for name, member := range target.Members {
		if beside[name] == nil {
			w.Name(name)
			w.Raw(member)
		} else if string(member) != string(beside[name]) {
			c.lose("$ref")
		}
	}
	w.Close('}')
	return w.Bytes
}

// resolve returns what a reference stands for: nothing after too many different
// ones, each of which is looked for in the whole schema, or after too much that was
// read for them.
func (c *schemaWriter) resolve(ref string) rawjson.Value {
	target, ok := c.resolved[ref]
	if !ok {
		target = c.find(ref)
	}
	if c.cost.read += len(target); c.cost.read > maxSchemaRead {
		return nil
	}
	return target
}

// find looks for what a reference stands for, and remembers it.
func (c *schemaWriter) find(ref string) rawjson.Value {
	if len(c.resolved) >= maxReferences {
		return nil
	}
	if c.resolved == nil {
		c.resolved = make(map[string]rawjson.Value)
	}
	target := c.pointedAt(ref)
	c.resolved[ref] = target
	return target
}

// pointedAt returns what a JSON pointer within the schema points at.
//
// #/$defs/Item is RFC 6901's form; references to other documents and to $anchor are not
// resolved.
func (c *schemaWriter) pointedAt(ref string) rawjson.Value {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := c.root
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if c.cost.read += len(at); c.cost.read > maxSchemaRead {
			return nil
		}
		if step != "" {
			at = at.Get(unescape.Replace(step))
		}
	}
	return at
}

// mergeAll returns a schema with the members of its allOf put into it: their
// properties and required names together, of all else the first.
//
// Google has no allOf. Where two branches disagree the result allows more than both,
// which is recorded.
func (c *schemaWriter) mergeAll(v rawjson.Value) rawjson.Value {
	branches := []rawjson.Value{v}
	for branch := range v.Get("allOf").Elements {
		if ref := branch.Get("$ref"); ref.Is('"') && !slices.Contains(c.refs, ref.Text()) {
			branch = c.resolve(ref.Text())
		}
		if !branch.Is('{') {
			c.lose("allOf")
		}
		branches = append(branches, branch)
	}
	var w rawjson.Writer
	seen := make(map[string]rawjson.Value)
	w.Open('{')
	for i, branch := range branches {
		for name, member := range branch.Members {
			isJoined := name == "properties" || name == "required"
			if i > 0 && !isJoined && (name == "allOf" || name == "$ref" || (seen[name] != nil && !sameJSON(string(member), string(seen[name])))) {
				c.lose("allOf")
			}
			if name == "allOf" || name == "$ref" || seen[name] != nil {
				continue
			}
			seen[name] = member
			w.Name(name)
			switch name {
			case "properties":
				w.Raw(c.mergeProperties(branches))
			case "required":
				w.Raw(mergeRequired(branches))
			default:
				w.Raw(member)
			}
		}
	}
	w.Close('}')
	return w.Bytes
}

func (c *schemaWriter) mergeProperties(branches []rawjson.Value) rawjson.Value {
	var w rawjson.Writer
	seen := make(map[string]bool)
	w.Open('{')
	for _, branch := range branches {
		for name, member := range branch.Get("properties").Members {
			if seen[name] {
				c.lose("allOf") // one of both is enough for the model
				continue
			}
			seen[name] = true
			w.Name(name)
			w.Raw(member)
		}
	}
	w.Close('}')
	return w.Bytes
}

func mergeRequired(branches []rawjson.Value) rawjson.Value {
	var w rawjson.Writer
	seen := make(map[string]bool)
	w.Open('[')
	for _, branch := range branches {
		for element := range branch.Get("required").Elements {
			if name := element.Text(); !seen[name] {
				seen[name] = true
				w.String(name)
			}
		}
	}
	w.Close(']')
	return w.Bytes
}
