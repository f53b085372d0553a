package statuspage

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlineWriter records the deadline for writes, and whether each write had one.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	deadline time.Time
	without  int // writes without a deadline
	err      error
}

func (w *deadlineWriter) SetWriteDeadline(deadline time.Time) error {
	w.deadline = deadline
	return nil
}

func (w *deadlineWriter) Write(p []byte) (int, error) {
	if w.deadline.IsZero() {
		w.without++
	}
	return len(p), w.err
}

// A viewer may take only so long to read events, and there may be any time between
// them: over HTTP/2 a deadline that passes ends the stream.
func TestDeadlineOfEvents(t *testing.T) {
	for _, err := range []error{nil, errors.New("the viewer has left")} {
		w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder(), err: err}
		v := viewer{response: w, control: http.NewResponseController(w)}
		for range 2 {
			if got := v.send([]byte(":\n\n")); !errors.Is(got, err) {
				t.Errorf("got the error %v, want %v", got, err)
			}
			if w.without > 0 {
				t.Errorf("%d writes had no deadline", w.without)
			}
			if !w.deadline.IsZero() {
				t.Error("there is a deadline behind the events")
			}
		}
	}
}
