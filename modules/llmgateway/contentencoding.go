package llmgateway

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/caddy-freetier/caddy-freetier/internal/llm/apierror"
	"github.com/caddy-freetier/caddy-freetier/internal/reqbody"
)

const (
	// maxCodings bounds how many codings may lie on top of each other.
	maxCodings = 3
	// maxWindow bounds the memory of a zstd decoder. It is what RFC 9659 allows
	// for HTTP, and what zstd uses up to level 19.
	maxWindow = 8 << 20
	// encodedStep is how much is read of an encoded body in one go, in bytes.
	encodedStep = 16 << 10
)

// coding is a content coding of requests (RFC 9110, section 8.4.1).
type coding uint8

const (
	gzipCoding coding = iota
	deflateCoding
	brotliCoding
	zstdCoding
)

// codingNames are the codings as the header Accept-Encoding lists them.
const codingNames = "gzip, deflate, br, zstd"

func unsupportedCoding(reason string) *apiError {
	return &apiError{Error: apierror.Error{
		Status:  http.StatusUnsupportedMediaType,
		Type:    "invalid_request_error",
		Code:    unsupportedCodingCode,
		Message: reason + " Send the body with one of " + codingNames + ", or without.",
	}}
}

const unsupportedCodingCode = "unsupported_content_encoding"

func (c coding) String() string { return [...]string{"gzip", "deflate", "br", "zstd"}[c] }

// parseCodings reads the values of Content-Encoding: the codings in the order
// in which they were applied.
//
// "identity" and empty elements are allowed (RFC 9110, 5.6.1) and mean nothing.
func parseCodings(values []string) (codings []coding, err *apiError) {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(strings.Trim(name, " \t")) {
			case "", "identity":
				continue
			case "gzip", "x-gzip":
				codings = append(codings, gzipCoding)
			case "deflate":
				codings = append(codings, deflateCoding)
			case "br":
				codings = append(codings, brotliCoding)
			case "zstd":
				codings = append(codings, zstdCoding)
			default:
				return nil, unsupportedCoding("The gateway does not know this Content-Encoding.")
			}
		}
	}
	if len(codings) > maxCodings {
		return nil, unsupportedCoding(fmt.Sprintf("The Content-Encoding has more than %d codings.", maxCodings))
	}
	return codings, nil
}

// codingError says that an encoded body is broken.
type codingError struct {
	coding coding
	err    error
}

func (e *codingError) Error() string { return "the body is no valid " + e.coding.String() }

func (e *codingError) Unwrap() error { return e.err }

// decoder reads what was encoded by one coding. Close gives its memory back.
//
// err is returned again by each further Read: the readers of the pools are not asked
// for more once they have failed.
type decoder struct {
	coding  coding
	limit   int64 // of what it may still return
	encoded *bufio.Reader
	decoded io.Reader
	err     error // of the last Read
	recycle func()
}

// newDecoder returns a reader of what r is the encoding of, if that is at most
// limit bytes long.
func newDecoder(c coding, r io.Reader, limit int64) (*decoder, error) {
	d := &decoder{coding: c, limit: limit, encoded: encodedReaders.Get().(*bufio.Reader)}
	d.encoded.Reset(r)
	d.recycle = func() {
		d.encoded.Reset(nil)
		encodedReaders.Put(d.encoded)
	}
	if err := d.open(); err != nil {
		d.Close()
		return nil, d.cause(err)
	}
	return d, nil
}

// The readers of deflate are the standard library's, which read nothing behind
// the end of the data.
var (
	encodedReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, encodedStep) }}
	gzipReaders    = sync.Pool{New: func() any { return new(gzip.Reader) }}
	flateReaders   = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
	zlibReaders    = sync.Pool{New: newZlibReader}
	brotliReaders  = sync.Pool{New: func() any { return brotli.NewReader(nil) }}
)

func (d *decoder) open() error {
	switch d.coding {
	case gzipCoding:
		return open(d, &gzipReaders, (*gzip.Reader).Reset)
	case brotliCoding:
		return open(d, &brotliReaders, (*brotli.Reader).Reset)
	case zstdCoding:
		// Its window is too large to be kept for the next request.
		r, err := zstd.NewReader(d.encoded, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(max(d.limit, maxWindow))))
		if err != nil {
			return err
		}
		d.decoded, d.recycle = r, chain(r.Close, d.recycle)
		return nil
	}
	if begin, _ := d.encoded.Peek(2); isZlib(begin) {
		return open(d, &zlibReaders, func(r io.ReadCloser, encoded io.Reader) error {
			return r.(zlib.Resetter).Reset(encoded, nil)
		})
	}
	// Some send the bare deflate data, for lack of clarity in old standards.
	return open(d, &flateReaders, func(r io.ReadCloser, encoded io.Reader) error {
		return r.(flate.Resetter).Reset(encoded, nil)
	})
}

// newZlibReader returns a reader of nothing: there is none without valid data.
func newZlibReader() any {
	r, err := zlib.NewReader(strings.NewReader("x\x9c\x03\x00\x00\x00\x00\x01"))
	if err != nil {
		panic(err)
	}
	return r
}

// open takes a reader from its pool for the decoder.
func open[R io.Reader](d *decoder, pool *sync.Pool, reset func(R, io.Reader) error) error {
	r := pool.Get().(R)
	d.decoded, d.recycle = r, chain(func() { pool.Put(r) }, d.recycle)
	return reset(r, d.encoded)
}

// chain returns a function that gives back the decoder's reader and then what it reads
// from.
func chain(first, then func()) func() {
	return func() {
		first()
		then()
	}
}

// isZlib reports whether data begins with zlib's header (RFC 1950, section 2.2).
func isZlib(begin []byte) bool {
	return len(begin) == 2 && begin[0]&0x0f == 8 && (int(begin[0])<<8|int(begin[1]))%31 == 0
}

// Read implements io.Reader.
//
// limit counts what comes out, so that a small body cannot become a large one in
// memory. What stands behind the end is refused: another decoder could go on there and
// read another text.
func (d *decoder) Read(p []byte) (n int, err error) {
	if d.err != nil {
		return 0, d.err
	}
	n, d.err = d.decoded.Read(p)
	if d.limit -= int64(n); d.limit < 0 {
		n, d.err = 0, reqbody.ErrTooLarge
	}
	if d.err == io.EOF {
		if _, err := d.encoded.ReadByte(); err == nil {
			d.err = errTrailingData
		}
	}
	if d.err != nil && d.err != io.EOF {
		d.err = d.cause(d.err)
	}
	return n, d.err
}

var errTrailingData = errors.New("something stands behind the encoded data")

// cause says what an error of the decoder means: one of an earlier stage, a
// body that is too large, or a broken one.
func (d *decoder) cause(err error) error {
	var earlier *codingError
	switch {
	case errors.As(err, &earlier), errors.Is(err, reqbody.ErrTooLarge):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return reqbody.ErrTooLarge
	}
	return &codingError{d.coding, err}
}

// Close implements io.Closer.
func (d *decoder) Close() error {
	d.recycle()
	return nil
}

// decoding is a chain of decoders, the last one first.
type decoding []*decoder

// newDecoding undoes codings, the last one that was applied first. What lies
// between two of them may not be larger than the body itself: it could be
// endless without a byte of the body in it.
func newDecoding(codings []coding, encoded io.Reader, limit int64) (chain decoding, err error) {
	r := encoded
	for _, coding := range slices.Backward(codings) {
		d, err := newDecoder(coding, r, limit)
		if err != nil {
			chain.Close()
			return nil, err
		}
		chain = append(decoding{d}, chain...)
		r = d
	}
	return chain, nil
}

// Read implements io.Reader.
func (c decoding) Read(p []byte) (int, error) { return c[0].Read(p) }

// Close implements io.Closer.
func (c decoding) Close() error {
	for _, d := range c {
		d.Close()
	}
	return nil
}
