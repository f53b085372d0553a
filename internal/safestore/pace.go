package safestore

import (
	"sync/atomic"
	"time"
)

// Pace is how often the files of other processes are read: less often when there are
// many, since each process reads all. It is safe for concurrent use.
type Pace struct {
	Files   int           // above so many, the interval grows with their number
	Longest time.Duration // up to this

	files atomic.Int64
}

// Saw notes how many files there are.
func (p *Pace) Saw(files int) { p.files.Store(int64(files)) }

// Every returns the interval for as many files as there are, given that for few.
func (p *Pace) Every(interval time.Duration) time.Duration {
	grown := interval / time.Duration(p.Files) * time.Duration(p.files.Load())
	return max(interval, min(grown, p.Longest))
}
