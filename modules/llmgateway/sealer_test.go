package llmgateway

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

func testHandle() *uploadHandle {
	return &uploadHandle{client: "alice", channel: "a", key: (&key{secret: "sk-channel-key-1"}).hash(), url: "https://api.example/upload?upload_id=1", expires: time.Unix(1000, 0)}
}

func newTestSealers(storage certmagic.Storage) *sealers {
	return &sealers{storage: storage, logger: zap.NewNop()}
}

// Instances that begin at the same time have one secret: each opens what any of
// them has sealed, also after a restart.
func TestInstancesShareSecret(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	sealed := make([]string, 3) // each waits for the lock a second or two
	for i := range sealed {
		wg.Go(func() {
			s, err := newTestSealers(&certmagic.FileStorage{Path: dir}).create(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			sealed[i] = testHandle().seal(s)
		})
	}
	wg.Wait()
	s, err := newTestSealers(&certmagic.FileStorage{Path: dir}).find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range sealed {
		if h, err := openHandle(s, text, time.Unix(999, 0)); err != nil || h != *testHandle() {
			t.Errorf("the handle of instance %d: %+v, %v", i, h, err)
		}
		for _, other := range sealed[:i] {
			if text == other {
				t.Error("two handles are the same")
			}
		}
	}
	if _, err := openHandle(s, sealed[0], time.Unix(1000, 0)); err == nil {
		t.Error("an expired handle was opened")
	}
	other, err := newTestSealers(&certmagic.FileStorage{Path: t.TempDir()}).create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openHandle(other, sealed[0], time.Unix(999, 0)); err == nil {
		t.Error("a handle was opened with another secret")
	}
}

// faultyStorage fails in the way that it is told.
type faultyStorage struct {
	certmagic.Storage
	fault func() error // nil: works
	loads int
}

func (s *faultyStorage) Load(ctx context.Context, key string) ([]byte, error) {
	s.loads++
	if s.fault != nil {
		if err := s.fault(); err != nil {
			return nil, err
		}
	}
	return s.Storage.Load(ctx, key)
}

// A storage in trouble is asked again, but not for each request, and a damaged
// secret is replaced.
func TestSecretsStorageFails(t *testing.T) {
	storage := &faultyStorage{Storage: &certmagic.FileStorage{Path: t.TempDir()}}
	s := newTestSealers(storage)
	for range 100 {
		if _, err := s.find(t.Context()); !errors.Is(err, errNoSecret) {
			t.Fatalf("without a secret: %v", err)
		}
	}
	if storage.loads != 1 {
		t.Errorf("strangers had the storage asked %d times", storage.loads)
	}
	for name, fault := range map[string]func() error{
		"an error": func() error { return errors.New("broken") },
		"a panic":  func() error { panic("broken") },
	} {
		storage.fault, s.failed = fault, time.Time{}
		if _, err := s.create(t.Context()); err == nil || errors.Is(err, errNoSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	storage.fault, s.failed = nil, time.Time{}
	if err := storage.Store(t.Context(), sealSecretPath, []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	made, err := s.create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := newTestSealers(storage).find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openHandle(again, testHandle().seal(made), time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
}

// Whatever a client sends as a handle is refused or was sealed.
func FuzzHandle(f *testing.F) {
	s, err := newSealer(make([]byte, sealSecretSize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(testHandle().seal(s))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := openHandle(s, text, time.Unix(1, 0)); err == nil && h != *testHandle() {
			t.Errorf("%q was opened: %+v", text, h)
		}
	})
}
