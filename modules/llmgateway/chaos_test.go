package llmgateway

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

const (
	chaosPause = 300 * time.Millisecond // that a 429 asks for
	chaosTurn  = time.Second            // how long a key stays as it is
	chaosSlack = 200 * time.Millisecond // for requests that are on their way
)

// chaosKey is a key at a provider that is in trouble now and then.
type chaosKey struct {
	mu      sync.Mutex
	trouble string    // "" for none
	until   time.Time // until when it must not be used
	since   time.Time // from when that can be expected
}

func (k *chaosKey) turn(trouble string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trouble = trouble
}

// use returns what is wrong with the key, and whether it was used while it is in cooldown.
func (k *chaosKey) use() (trouble string, tooEarly bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	tooEarly = now.After(k.since) && now.Before(k.until)
	if k.trouble == "429" {
		k.since, k.until = now.Add(chaosSlack), now.Add(chaosPause-5*time.Millisecond)
	}
	return k.trouble, tooEarly
}

var chaosTroubles = []string{"429", "401", "500", "HTML", "error", "error event", "hang", "cut off", "reset", "cut off in the middle"}

var chaosID = regexp.MustCompile(`id-\d+-`)

// chaosProvider answers with the request's own mark, or with what is wrong.
func chaosProvider(keys map[string]*chaosKey, early *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, stream := chaosID.FindString(string(body)), strings.Contains(string(body), `"stream":true`)
		event := "data: {\"choices\":[{\"delta\":{\"content\":\"" + id + "\"}}]}\n\n"
		whole := `{"choices":[{"message":{"content":"` + id + strings.Repeat("x", rand.IntN(1000)) + `"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`
		trouble, tooEarly := keys[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")].use()
		if tooEarly {
			early.Add(1)
		}
		cut := func(contentType, text string) {
			w.Header().Set("Content-Type", contentType)
			io.WriteString(w, text)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		switch {
		case trouble == "429":
			w.Header().Set("Retry-After-Ms", strconv.Itoa(int(chaosPause/time.Millisecond)))
			caddytest.JSON(429, openAIError)(w, r)
		case trouble == "401" || trouble == "500":
			status, _ := strconv.Atoi(trouble)
			caddytest.JSON(status, "{}")(w, r)
		case trouble == "HTML":
			caddytest.Answer(200, "text/html", "<html>")(w, r)
		case trouble == "error":
			caddytest.JSON(200, `{"error":{"message":"boom"}}`)(w, r)
		case trouble == "error event" && stream:
			caddytest.Events(": wait\n\n", anthropicError)(w, r)
		case trouble == "hang":
			caddytest.Hang(w, r)
		case trouble == "cut off" && stream:
			cut("text/event-stream", ": wait\n\ndata: {")
		case trouble == "cut off":
			cut("application/json", whole[:len(whole)/2])
		case trouble == "reset":
			caddytest.Reset(w, r)
		case trouble == "cut off in the middle" && stream:
			cut("text/event-stream", event+event)
		case stream:
			caddytest.Events(event, event, "data: [DONE]\n\n")(w, r)
		default:
			caddytest.JSON(200, whole)(w, r)
		}
	}
}

// A third of twelve keys in six channels is in trouble at any time. Every
// request is served, with its own answer; no key is used while it is in cooldown; what
// was cut off in the middle never looks complete; and nothing stays behind.
// CHAOS_REQUESTS in the environment sets their number.
func TestChaos(t *testing.T) {
	total, workers := 20_000, 24
	if n, err := strconv.Atoi(os.Getenv("CHAOS_REQUESTS")); err == nil {
		total = n
	}
	before := caddytest.Goroutines()
	var (
		early     atomic.Int64
		options   strings.Builder
		upstreams []*httptest.Server // which keep no request
		keys      = make(map[string]*chaosKey)
		names     []string
	)
	options.WriteString("client alice alice-key\ncooldown 100ms\nfirst_byte_timeout 600ms\n")
	for i := range 6 {
		for j := range 2 {
			name := fmt.Sprintf("key-%d-%d", i, j)
			keys[name], names = new(chaosKey), append(names, name)
		}
		up := httptest.NewServer(chaosProvider(keys, &early))
		upstreams = append(upstreams, up)
		fmt.Fprintf(&options, "channel c%d %s {\napi_key key-%d-0 key-%d-1\nmodels m as m%d\ntransport {\nresponse_header_timeout 600ms\n}\n}\n", i, up.URL, i, i, i)
	}
	addr := caddytest.Addr(t)
	c := caddytest.Start(t, "http://"+addr+" {\n\tllm_gateway {\n"+options.String()+"\n}\n}")
	transport := &http.Transport{MaxIdleConnsPerHost: workers}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}

	stop := make(chan struct{})
	var turning sync.WaitGroup
	turning.Go(func() { turnKeys(keys, names, stop) })
	memory := heap()
	var (
		next, cut atomic.Int64
		wg        sync.WaitGroup
	)
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(total) && time.Since(began) > 3*chaosTurn || t.Failed() {
					return
				}
				wasCut, err := chaosRequest(client, "http://"+addr, int(n))
				if err != nil {
					t.Error(err)
				}
				if wasCut {
					cut.Add(1)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	turning.Wait()
	t.Logf("%d requests in %v, %d cut off in the middle", next.Load()-int64(workers), time.Since(began), cut.Load())
	if n := early.Load(); n > 0 {
		t.Errorf("keys were used %d times while they rest", n)
	}
	transport.CloseIdleConnections()
	c.Stop()
	for _, up := range upstreams {
		up.CloseClientConnections()
		up.Close()
	}
	caddytest.NoLeak(t, before)
	c.Logs.Forget()
	grown := heap() - memory
	t.Logf("the heap has grown by %d KB", grown>>10)
	if grown > 8<<20 {
		t.Error("that is too much")
	}
}

// turnKeys puts another third of the keys into trouble each second.
func turnKeys(keys map[string]*chaosKey, names []string, stop <-chan struct{}) {
	ticker := time.NewTicker(chaosTurn)
	defer ticker.Stop()
	for {
		for i, at := range rand.Perm(len(names)) {
			trouble := ""
			if i < len(names)/3 {
				trouble = chaosTroubles[rand.IntN(len(chaosTroubles))]
			}
			keys[names[at]].turn(trouble)
		}
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
	}
}

// chaosRequest sends a request, a third of them streamed, and checks that the
// answer is its own and whole, or a stream that broke off.
func chaosRequest(client *http.Client, url string, n int) (cut bool, err error) {
	id, stream := fmt.Sprintf("id-%d-", n), n%3 == 0
	body := fmt.Sprintf(`{"messages":[{"role":"user","content":"%s%s"}],"stream":%v,"model":"m"}`, id, strings.Repeat("x", n%2000), stream)
	req, err := http.NewRequest(http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer alice-key")
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("request %d from %s: status %d: %.300s", n, resp.Header.Get("X-Gateway-Channel"), resp.StatusCode, text)
	}
	ids := chaosID.FindAllString(string(text), -1)
	for _, got := range ids {
		if got != id {
			return false, fmt.Errorf("request %d got the answer to %s", n, got)
		}
	}
	switch complete := strings.HasSuffix(string(text), "data: [DONE]\n\n") || !stream && strings.HasSuffix(string(text), "}}"); {
	case err == nil && stream && len(ids) > 0 && strings.HasSuffix(string(text), brokeOff):
		return true, nil
	case err != nil || !complete || len(ids) == 0:
		return false, fmt.Errorf("request %d from %s: %v: %.300s", n, resp.Header.Get("X-Gateway-Channel"), err, text)
	}
	return false, nil
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
