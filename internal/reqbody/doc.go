// Package reqbody keeps a request body so that it can be sent more than once,
// finds one field in it while it is read, and replaces that field without
// touching any other byte. It depends on the standard library only.
//
// The scanners accept only what every parser reads alike: a body in which two
// parsers could find two values of the field is an error.
package reqbody
