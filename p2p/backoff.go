package p2p

import (
	"math/rand/v2"
	"time"
)

// backoff gives the waits between attempts: doubling from first to most, each
// with a jitter of a quarter either way.
type backoff struct {
	first, most time.Duration
	next        time.Duration
}

// The waits before a peer is dialled again, and before a peer that refused us,
// or was refused by us, is asked again.
func dialBackoff() backoff    { return backoff{first: 100 * time.Millisecond, most: 5 * time.Second} }
func refusedBackoff() backoff { return backoff{first: 15 * time.Second, most: 5 * time.Minute} }

// wait is how long to wait now; the next wait is longer.
func (b *backoff) wait() time.Duration {
	if b.next == 0 {
		b.next = b.first
	}
	d := b.next
	b.next = min(2*b.next, b.most)
	return d*3/4 + rand.N(d/2)
}

// reset begins again with the first wait.
func (b *backoff) reset() { b.next = 0 }
