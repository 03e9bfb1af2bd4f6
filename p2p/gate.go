package p2p

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// gate bounds how many things go on at a time, in all and for one peer. Who
// does not fit is turned away, never queued.
type gate struct {
	all, each int // limits

	mu    sync.Mutex
	total int
	of    map[peer.ID]int
}

func newGate(all, each int) *gate {
	return &gate{all: all, each: each, of: map[peer.ID]int{}}
}

// enter reports whether there is room; if so, leave must follow.
func (g *gate) enter(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= g.all || g.of[p] >= g.each {
		return false
	}
	g.total++
	g.of[p]++
	return true
}

func (g *gate) leave(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.of[p]--; g.of[p] == 0 {
		delete(g.of, p)
	}
}
