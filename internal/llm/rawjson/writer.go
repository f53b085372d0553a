package rawjson

import "strconv"

// Writer writes one JSON value. It puts the commas; that keys and values
// alternate and that what is opened is closed is up to the caller.
//
// The zero Writer is ready. Bytes may begin with something else, such as "data: ", and
// may be taken at any time. There are no errors: what is written comes from this
// program or from a Value.
type Writer struct {
	Bytes []byte
}

// Open begins an object or an array, given by its bracket.
func (w *Writer) Open(bracket byte) {
	w.separate()
	w.Bytes = append(w.Bytes, bracket)
}

// Close ends an object or an array, given by its closing bracket.
func (w *Writer) Close(bracket byte) { w.Bytes = append(w.Bytes, bracket) }

// Key begins a member of an object. The name must not need escapes.
func (w *Writer) Key(name string) {
	w.separate()
	w.Bytes = append(w.Bytes, '"')
	w.Bytes = append(w.Bytes, name...)
	w.Bytes = append(w.Bytes, '"', ':')
}

// Name begins a member of an object whose name is any string.
func (w *Writer) Name(name string) {
	w.separate()
	w.Bytes = append(AppendString(w.Bytes, name), ':')
}

// String writes a string.
func (w *Writer) String(s string) {
	w.separate()
	w.Bytes = AppendString(w.Bytes, s)
}

// Raw writes a value as it stands, null if it is empty.
func (w *Writer) Raw(v Value) {
	w.separate()
	if len(v) == 0 {
		v = Value("null")
	}
	w.Bytes = append(w.Bytes, v...)
}

// Int writes a whole number.
func (w *Writer) Int(n int64) {
	w.separate()
	w.Bytes = strconv.AppendInt(w.Bytes, n, 10)
}

// Bool writes true or false.
func (w *Writer) Bool(b bool) {
	w.separate()
	w.Bytes = strconv.AppendBool(w.Bytes, b)
}

// Null writes null.
func (w *Writer) Null() { w.Raw(nil) }

// KeyString writes a member that is a string.
func (w *Writer) KeyString(name, value string) {
	w.Key(name)
	w.String(value)
}

// KeyInt writes a member that is a whole number.
func (w *Writer) KeyInt(name string, value int64) {
	w.Key(name)
	w.Int(value)
}

// KeyBool writes a member that is true or false.
func (w *Writer) KeyBool(name string, value bool) {
	w.Key(name)
	w.Bool(value)
}

// KeyRaw writes a member as it stands, null if it is empty.
func (w *Writer) KeyRaw(name string, value Value) {
	w.Key(name)
	w.Raw(value)
}

// separate writes the comma before all but the first of a composite's parts. No
// value ends like a part that nothing may precede.
func (w *Writer) separate() {
	if len(w.Bytes) == 0 {
		return
	}
	switch w.Bytes[len(w.Bytes)-1] {
	case '{', '[', ':', ' ', '\n': // the latter two: what stands before it, such as "data: "
	default:
		w.Bytes = append(w.Bytes, ',')
	}
}
