package llmgateway

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddy-freetier/caddy-freetier/internal/safestore"
)

const (
	// sealSecretPath is where the secret lies in Caddy's storage. All gateways
	// and all instances on one storage share it.
	sealSecretPath = "freetier/llm_gateway/upload.secret"
	sealSecretSize = 32

	// sealSecretTime is how long the storage may take, and sealSecretPause the
	// time after a failure in which it is not asked again.
	sealSecretTime  = 10 * time.Second
	sealSecretPause = time.Second
)

var errNoSecret = errors.New("the storage has no secret for uploads")

// sealer encrypts what the gateway gives to a client to get it back later.
//
// AES-256-GCM with a random nonce in front of each text: instances share the secret and
// no counter. A nonce of 96 bits is random enough for 2³² handles, far more than
// uploads.
type sealer struct{ aead cipher.AEAD }

func newSealer(secret []byte) (*sealer, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

// sealers gets the sealer when it is needed for the first time: most gateways see
// no upload.
type sealers struct {
	storage certmagic.Storage
	logger  *zap.Logger
	health  safestore.Health

	mu     sync.Mutex // held while the storage is asked
	sealer *sealer    // once the secret is known
	failed time.Time  // when the storage was asked in vain
	err    error      // why
}

// find returns the sealer, whose secret must be there. Strangers can have it
// called: a handle that they have made up must not cost more than one look at
// the storage a second.
func (s *sealers) find(ctx context.Context) (*sealer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil && time.Since(s.failed) < sealSecretPause {
		return nil, s.err
	}
	return s.get(ctx, s.findSecret)
}

// create returns the sealer, whose secret is made if there is none yet.
func (s *sealers) create(ctx context.Context) (*sealer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil && s.err != errNoSecret && time.Since(s.failed) < sealSecretPause { //nolint:errorlint // it is returned bare
		return nil, s.err
	}
	return s.get(ctx, s.createSecret)
}

// get returns the sealer, made once; the caller holds mu. Failures are remembered with
// their time, so that find and create can bound how often the storage is asked.
func (s *sealers) get(ctx context.Context, load func(context.Context) ([]byte, error)) (*sealer, error) {
	if s.sealer != nil {
		return s.sealer, nil
	}
	// A client that leaves must not fail the others that wait.
	secret, err := safestore.Within(context.WithoutCancel(ctx), sealSecretTime, load)
	if err != errNoSecret { //nolint:errorlint // it is returned bare
		s.health.Report(s.logger, err, "storage unavailable; uploads cannot begin or go on", "storage recovered; uploads go on")
	}
	if err == nil {
		s.sealer, err = newSealer(secret)
	}
	s.err, s.failed = err, time.Now()
	return s.sealer, err
}

// findSecret reads the secret. A damaged one counts as none.
func (s *sealers) findSecret(ctx context.Context) ([]byte, error) {
	secret, err := s.storage.Load(ctx, sealSecretPath)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(secret) != sealSecretSize {
		return nil, errNoSecret
	}
	return secret, err
}

// createSecret reads the secret, and makes it if there is none. Of several
// instances only one makes it.
func (s *sealers) createSecret(ctx context.Context) (secret []byte, err error) {
	if secret, err = s.findSecret(ctx); err == nil {
		return secret, nil
	}
	if err := s.storage.Lock(ctx, sealSecretPath); err != nil {
		return nil, err
	}
	defer func() {
		if e := s.storage.Unlock(context.WithoutCancel(ctx), sealSecretPath); err == nil {
			err = e
		}
	}()
	if secret, err = s.findSecret(ctx); err != errNoSecret { //nolint:errorlint // it is returned bare
		return secret, err
	}
	secret = make([]byte, sealSecretSize)
	_, _ = rand.Read(secret) // never fails
	return secret, s.storage.Store(ctx, sealSecretPath, secret)
}
