package catchup

import "time"

// lull is how much longer than its own time a block was waited for lately: the longest
// of such waits, which halves every ten seconds. On every link that somebody fills
// packets are lost, and what is behind a lost one comes late; only a silence longer
// than those that ended well says more. One serves all peers of a session: each need
// not find out for itself.
type lull struct {
	longest time.Duration
	at      time.Duration // when it was noted, or halved
}

const (
	lullHalves = 10 * time.Second
	lullMost   = 500 * time.Millisecond // of what counts: nobody is waited for longer because another hung
)

// ended notes a wait that a delivery ended at now.
func (l *lull) ended(now, wait time.Duration) {
	if now-l.at >= lullHalves {
		l.longest, l.at = l.longest/2, now
	}
	if wait = min(wait, lullMost); wait > l.longest {
		l.longest, l.at = wait, now
	}
}

// least is how long silence beyond a block's own time means nothing.
func (l *lull) least() time.Duration {
	if l == nil {
		return 0
	}
	return l.longest * 3 / 2
}
