package llmgateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

const (
	// uploadTime is how long an upload may take. Gemini keeps a whole file no
	// longer.
	uploadTime = 48 * time.Hour
	// longestHandle bounds what a client can have decrypted.
	longestHandle = 8 << 10
)

var errHandle = errors.New("no handle of an upload, or an expired one")

// uploadHandle is an upload that has begun. Sealed, it goes to the client in
// place of the channel's own URL, and is all that a client has to show to go on:
// SDKs send no key to such a URL. So it holds over reloads and on every instance
// that shares the storage.
type uploadHandle struct {
	client  string
	channel string
	key     keyHash
	url     string // of the channel, without the key
	expires time.Time
}

// keyHash names a key without showing it.
type keyHash [16]byte

func (k *key) hash() (hash keyHash) {
	if k != nil {
		sum := sha256.Sum256([]byte("llm_gateway upload key\x00" + k.secret))
		copy(hash[:], sum[:])
	}
	return hash
}

// handlePurpose is authenticated with a handle. Another form of it needs another
// purpose.
var handlePurpose = []byte("caddy-freetier llm_gateway upload 1")

// seal encrypts the handle.
func (h *uploadHandle) seal(s *sealer) string {
	plain := binary.AppendVarint(nil, h.expires.Unix())
	for _, field := range []string{h.client, h.channel, string(h.key[:]), h.url} {
		plain = binary.AppendUvarint(plain, uint64(len(field)))
		plain = append(plain, field...)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, handlePurpose))
}

// openHandle decrypts a handle, and refuses one that this gateway has not sealed
// or that has expired.
func openHandle(s *sealer, sealed string, now time.Time) (h uploadHandle, err error) {
	if len(sealed) > longestHandle {
		return h, errHandle
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return h, errHandle
	}
	plain, err := s.aead.Open(nil, nil, raw, handlePurpose)
	if err != nil {
		return h, errHandle
	}
	expires, n := binary.Varint(plain)
	if n <= 0 || !now.Before(time.Unix(expires, 0)) {
		return h, errHandle
	}
	h.expires, plain = time.Unix(expires, 0), plain[n:]
	var hash string
	for _, field := range []*string{&h.client, &h.channel, &hash, &h.url} {
		length, n := binary.Uvarint(plain)
		if n <= 0 || length > uint64(len(plain)-n) {
			return h, errHandle
		}
		*field, plain = string(plain[n:n+int(length)]), plain[n+int(length):]
	}
	if copy(h.key[:], hash) != len(hash) {
		return h, errHandle
	}
	return h, nil
}
