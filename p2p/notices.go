package p2p

import (
	"context"
	"sync"
)

// notices calls the Handler about bonds in the order in which they came and
// went, from one goroutine, so that nobody holds a lock while it runs. What
// waits is bounded by how fast bonds come and go, which proofs and dials limit.
type notices struct {
	ctx  context.Context
	wake chan struct{}

	mu    sync.Mutex
	queue []func()
}

func newNotices(ctx context.Context) *notices {
	return &notices{ctx: ctx, wake: make(chan struct{}, 1)}
}

func (n *notices) add(call func()) {
	n.mu.Lock()
	n.queue = append(n.queue, call)
	n.mu.Unlock()
	kick(n.wake)
}

// run calls what is added until the context ends, and then what is left: the
// Unbonded of bonds that ended before.
func (n *notices) run() {
	for {
		n.drain()
		select {
		case <-n.wake:
		case <-n.ctx.Done():
			n.drain()
			return
		}
	}
}

func (n *notices) drain() {
	for {
		n.mu.Lock()
		queue := n.queue
		n.queue = nil
		n.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, call := range queue {
			call()
		}
	}
}
