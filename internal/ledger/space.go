package ledger

import (
	"sync"
	"time"
)

// spaceEvery is how long an answer of the file system about its free space is
// believed.
const spaceEvery = time.Second

// space remembers what the file system said last.
type space struct {
	mu    sync.Mutex
	asked time.Time
	full  bool
}

// Full reports whether the disk has less than Reserve free: the time to stop
// taking on work, before a write fails. now is the caller's clock; the file
// system is asked at most once a second of it. A file system that does not know
// its free space is never full.
func (l *Ledger) Full(now time.Time) bool {
	s := &l.space
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked.IsZero() && now.Sub(s.asked) < spaceEvery {
		return s.full
	}
	usage, err := l.opts.FS.GetDiskUsage(l.opts.Dir)
	s.asked = now
	s.full = err == nil && usage.AvailBytes < uint64(l.opts.Reserve)
	return s.full
}

// DiskBytes is the size of the ledger's files; 0 once it is closed.
func (l *Ledger) DiskBytes() int64 {
	if l.enter() != nil {
		return 0
	}
	defer l.leave()
	return l.store.diskBytes()
}
