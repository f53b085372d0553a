package migrate

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The names of fields, as one-api, new-api, FreeLLMAPI and tables made by hand have
// them, in any letter case (baseUrl, API_KEY). Of several in one row the first of a
// list counts.
var (
	keyFields      = []string{"key", "api_key", "apikey", "api-key", "keys", "api_keys", "apikeys", "token", "tokens", "secret"}
	urlFields      = []string{"base_url", "baseurl", "base", "api_base", "url", "endpoint", "api_url", "upstream", "proxy_url"}
	nameFields     = []string{"name", "channel", "channel_name", "label", "title"}
	providerFields = []string{"provider", "platform", "vendor", "service"}
	modelFields    = []string{"models", "model", "model_list", "supported_models"}
	mappingFields  = []string{"model_mapping", "model_map", "modelmapping", "modelmap", "mapping"}
)

// isRow reports whether an object describes a channel.
//
// A worker's table has neither a key nor a URL under such a name, but members whose
// values are URLs; readObject reads those.
func isRow(row object) bool {
	return row.get(keyFields...) != nil || row.get(urlFields...) != nil
}

// types are the kinds of channels of one-api and new-api, which agree up to 25.
// Sources, both read on 2026-11-27: github.com/songquanpeng/one-api,
// relay/channeltype/define.go; github.com/QuantumNous/new-api, constant/channel.go.
//
// What is missing has no preset here, such as the makers of images and videos; a
// channel of such a type is taken over if it has a URL of its own. Type 8 is "custom":
// it has no provider and always a URL. Behind the provider stands the region, for
// providers with several.
var types = map[int]string{
	1: "openai", 3: "azure", 8: "", 14: "anthropic", 16: "zhipu", 17: "dashscope", 20: "openrouter", 24: "gemini", 25: "moonshot cn",
}

// typesOfOneAPI and typesOfNewAPI are the types from 26 on, and 4, where the two
// programs have given one number to different providers: 39 is Together in one-api and
// Cloudflare in new-api. A wrong guess would send one provider's key to another.
var typesOfOneAPI = map[int]string{
	28: "mistral", 29: "groq", 30: "ollama", 35: "cohere", 36: "deepseek", 37: "cloudflare", 39: "together", 40: "volcengine",
}

var typesOfNewAPI = map[int]string{
	4: "ollama", 26: "zhipu", 34: "cohere", 39: "cloudflare", 40: "siliconflow", 42: "mistral", 43: "deepseek", 45: "volcengine", 46: "qianfan", 48: "xai",
}

// ofNewAPI are fields that new-api's table has and one-api's has not. A row with any of
// them is new-api's: auto_ban has a default there and so is in each.
var ofNewAPI = []string{"auto_ban", "channel_info", "tag", "setting", "settings", "param_override", "header_override", "openai_organization", "test_model"}

// providerOfType returns the provider and its region of a type, such as "moonshot cn",
// and whether the type is known. An empty provider that is known is one that speaks as
// OpenAI does at a URL of its own.
func providerOfType(row object, number int) (provider string, ok bool) {
	if provider, ok = types[number]; ok {
		return provider, true
	}
	table := typesOfOneAPI
	for _, m := range row {
		if slices.Contains(ofNewAPI, strings.ToLower(m.name)) {
			table = typesOfNewAPI
		}
	}
	provider, ok = table[number]
	return provider, ok
}

// readRow adds the channel that an object describes. about names it in notes.
//
// Keys that do not come into a channel are remembered, so that they are shown nowhere.
func (p *Pool) readRow(row object, about string, o Options) {
	var none int
	c := &Channel{Name: row.text(nameFields...)}
	var disabled []string
	c.Keys, disabled, none = keysOfRow(row)
	p.leave(disabled)
	if !p.readChannel(c, none, row, about, o) {
		p.leave(c.Keys)
	}
}

// readChannel adds the channel with these keys that an object describes, and reports
// whether it has.
//
// status is 1 for enabled in one-api and new-api; 2 is disabled by hand and 3 by the
// program, after errors. FreeLLMAPI and others have words, or a boolean of another
// name.
func (p *Pool) readChannel(c *Channel, none int, row object, about string, o Options) bool {
	if status := row.text("status"); status != "" && status != "1" && !slices.Contains([]string{"true", "enabled", "active", "ok", "healthy"}, strings.ToLower(status)) {
		p.note("%s: left out, since it is disabled", about)
		return false
	}
	if enabled := strings.ToLower(row.text("enabled", "is_active", "active")); enabled == "false" || enabled == "0" {
		p.note("%s: left out, since it is disabled", about)
		return false
	}
	if none > 0 {
		p.note("%s: words among its keys that are none: %d", about, none)
	}
	if !p.readPlace(c, row, about, o) {
		return false
	}
	if len(c.Keys) == 0 && c.Provider != "ollama" {
		p.note("%s: left out, since it has no key (lists in these programs' pages leave keys out: export the table of the database)", about)
		return false
	}
	if c.NoKey = len(c.Keys) == 0; c.NoKey && c.URL == "" {
		p.note("%s: left out, since it has neither a key nor a URL", about)
		return false
	}
	if c.Provider == "cloudflare" && !p.withAccount(c, accountOf(row), about) {
		return false
	}
	if c.NoKey {
		c.Provider = "" // a server of one's own
	}
	p.readModels(c, row, about)
	if len(c.Models) == 0 {
		c.Models = o.models()
	}
	c.Priority, _ = strconv.ParseInt(row.text("priority"), 10, 32)
	c.Weight, _ = strconv.ParseInt(row.text("weight"), 10, 16)
	c.Weight = max(0, c.Weight)
	for _, field := range []string{"param_override", "header_override", "status_code_mapping"} {
		if value := row.text(field); value != "" && value != "{}" && value != "null" {
			p.note("%s: its %s is not taken over; see fields, header_up and refusal in docs/llm_gateway.md", about, field)
		}
	}
	p.Channels = append(p.Channels, c)
	return true
}

// readPlace finds out whose API the channel is of, and where, and reports whether
// that is known.
//
// The first that says something counts: a field with the provider's name, the number of
// a type, a type that is a word, what the key begins with, the options. A URL beside it
// may still show that it is another provider, see place.
//
// Azure's URL is the resource's own in these programs, to which they add the path of a
// deployment; here it is that of the v1 API.
func (p *Pool) readPlace(c *Channel, row object, about string, o Options) bool {
	kind := row.text("type")
	number, err := strconv.Atoi(kind)
	address := row.text(urlFields...)
	switch given := row.text(providerFields...); {
	case given != "":
		c.Provider = vendor(given)
	case err == nil:
		named, ok := providerOfType(row, number)
		if !ok && address == "" {
			p.note("%s: left out, since channels of type %d have no counterpart here", about, number)
			return false
		}
		c.Provider, c.Region, _ = strings.Cut(named, " ")
	case kind != "":
		c.Provider = vendor(kind)
	}
	if c.Provider == "" && address == "" && len(c.Keys) > 0 {
		c.Provider = providerOf(c.Keys[0])
	}
	if c.Provider == "" && address == "" && o.Provider+o.URL != "" {
		if given, err := o.channel(); err == nil {
			c.Provider, c.Region, c.URL = given.Provider, given.Region, given.URL
			return true
		}
	}
	if c.Provider == "azure" && address != "" && !strings.Contains(address, "/openai") {
		address = strings.TrimRight(address, "/") + "/openai/v1"
	}
	return p.place(c, address, about)
}

// keysOfRow returns the keys of a channel, those that are disabled one by one, and how
// many words are none.
func keysOfRow(row object) (keys, disabled []string, none int) {
	enabled, others := wordsOfRow(row)
	keys, none = keysOf(enabled)
	disabled, _ = keysOf(others)
	return keys, disabled, none
}

// wordsOfRow returns what stands for keys, and what of that is disabled. A field holds
// one key, several with line breaks or commas between them, or a JSON array, as a value
// or as a text. new-api's multi_key_status_list has the state of a key by its index, 1
// or nothing for enabled, and counts lines, empty ones too, but for those at the ends of
// the field.
func wordsOfRow(row object) (enabled, disabled []string) {
	states := statesOfKeys(row)
	var keys []string
	switch given := row.get(keyFields...).(type) {
	case string:
		var listed []string
		if json.Unmarshal([]byte(given), &listed) == nil {
			keys = listed
			break
		}
		if len(states) > 0 {
			keys = strings.Split(strings.Trim(given, "\n"), "\n")
			break
		}
		keys = strings.FieldsFunc(given, func(r rune) bool { return r == '\n' || r == ',' || r == ' ' || r == ';' })
	case []any:
		for _, item := range given {
			if key, ok := item.(string); ok {
				keys = append(keys, key)
			}
		}
	}
	for i, key := range keys {
		switch state := states.text(strconv.Itoa(i)); {
		case strings.TrimSpace(key) == "":
		case state == "", state == "1":
			enabled = append(enabled, key)
		default:
			disabled = append(disabled, key)
		}
	}
	return enabled, disabled
}

// statesOfKeys returns new-api's states of the keys of a row by their index, none for
// other rows.
func statesOfKeys(row object) object {
	info := row.get("channel_info")
	if text, ok := info.(string); ok { // a column of JSON
		info, _ = parseJSON(text)
	}
	if info, ok := info.(object); ok {
		states, _ := info.get("multi_key_status_list").(object)
		return states
	}
	return nil
}

// accountOf returns the account of a channel whose keys need one.
//
// Cloudflare's token needs the account in the URL: new-api has it in other, one-api in
// config, {"user_id":"0123abcd"}.
func accountOf(row object) string {
	if account := row.text("account", "account_id", "other"); account != "" {
		return account
	}
	config := row.get("config")
	if text, ok := config.(string); ok {
		config, _ = parseJSON(text)
	}
	if config, ok := config.(object); ok {
		return config.text("user_id", "account_id", "account")
	}
	return ""
}

// readModels reads the models of a channel, and its own names for them.
//
// models is a text with commas in the table, and a list of names or of objects with an
// id in other programs' JSON.
func (p *Pool) readModels(c *Channel, row object, about string) {
	var listed []string
	switch given := row.get(modelFields...).(type) {
	case string:
		listed = strings.FieldsFunc(given, func(r rune) bool { return r == ',' || r == '\n' || r == ';' })
	case []any:
		for _, item := range given {
			switch item := item.(type) {
			case string:
				listed = append(listed, item)
			case object:
				listed = append(listed, item.text("id", "name", "model"))
			}
		}
	}
	models, left := modelsOf(listed)
	mapping := row.get(mappingFields...)
	if text, ok := mapping.(string); ok {
		mapping, _ = parseJSON(text)
	}
	pairs, _ := mapping.(object)
	lines, wrong := mapped(models, pairs)
	c.Models = lines
	if left += wrong; left > 0 {
		p.note("%s: names of models that cannot stand in a Caddyfile, and are left out: %d", about, left)
	}
}

// mapped returns the lines for models, some of which the channel calls otherwise.
//
// Names with the same target share a line, in the order in which they come first. A
// name that is mapped but not listed is added: whoever has written it down means to ask
// for it.
func mapped(models []string, pairs object) (lines []Model, wrong int) {
	as := make(map[string]string)
	for _, pair := range pairs {
		to, ok := pair.value.(string)
		switch from := strings.TrimSpace(pair.name); {
		case !ok || !isModel(from) || !isModel(strings.TrimSpace(to)):
			wrong++
		case as[from] == "":
			as[from] = strings.TrimSpace(to)
			if !slices.Contains(models, from) {
				models = append(models, from)
			}
		}
	}
	var plain Model
	targets := make(map[string]int)
	for _, name := range models {
		to := as[name]
		if to == "" || to == name {
			plain.Names = append(plain.Names, name)
			continue
		}
		i, ok := targets[to]
		if !ok {
			i, targets[to] = len(lines), len(lines)
			lines = append(lines, Model{As: to})
		}
		lines[i].Names = append(lines[i].Names, name)
	}
	if len(plain.Names) > 0 {
		lines = append(lines, plain)
	}
	return lines, wrong
}

var errColumns = errors.New("its first line names no column that holds keys or URLs, such as key, provider and base_url")

// isCSV reports whether the first line names columns of a table of channels.
//
// A column of keys is required, since anything with a comma in it is CSV otherwise.
func isCSV(text string) bool {
	first, _, _ := strings.Cut(text, "\n")
	if strings.ContainsAny(first, "={") {
		return false
	}
	head, err := csv.NewReader(strings.NewReader(first)).Read()
	if err != nil || len(head) < 2 {
		return false
	}
	for _, column := range head {
		if slices.Contains(keyFields, strings.ToLower(strings.TrimSpace(column))) {
			return true
		}
	}
	return false
}

// readCSV reads a table whose first line names its columns.
//
// It is read leniently: rows may be shorter or longer than the first, and quotation
// marks may stand within a field, as in JSON that a tool has not quoted. NULL and \N
// are how MySQL and PostgreSQL write a missing value.
func (p *Pool) readCSV(text string, o Options) error {
	reader := csv.NewReader(strings.NewReader(text))
	reader.FieldsPerRecord, reader.LazyQuotes, reader.TrimLeadingSpace = -1, true, true
	records, err := reader.ReadAll()
	if err != nil {
		if place, ok := errors.AsType[*csv.ParseError](err); ok {
			return fmt.Errorf("line %d: %w", place.Line, place.Err)
		}
		return err
	}
	if len(records) == 0 {
		return errColumns
	}
	for number, record := range records[1:] {
		var row object
		for i, value := range record {
			if i < len(records[0]) && strings.TrimSpace(value) != "" && value != "NULL" && value != `\N` {
				row = append(row, member{strings.TrimSpace(records[0][i]), value})
			}
		}
		if len(row) > 0 {
			p.readRow(row, fmt.Sprintf("row %d", number+2), o)
		}
	}
	p.join()
	return nil
}

// join makes one channel of those that differ in their keys only, as tables with a
// key a row have them.
//
// The order of the first ones stays, and with it that of the blocks in the Caddyfile.
func (p *Pool) join() {
	known := make(map[string]*Channel)
	p.Channels = slices.DeleteFunc(p.Channels, func(c *Channel) bool {
		what := fmt.Sprint(c.Name, "\n", c.URL, "\n", c.Provider, " ", c.Region, "\n", c.Models, c.Priority, c.Weight, c.NoKey)
		if first := known[what]; first != nil {
			first.Keys, _ = keysOf(append(first.Keys, c.Keys...))
			return true
		}
		known[what] = c
		return false
	})
}
