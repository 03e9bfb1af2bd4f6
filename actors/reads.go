package actors

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
)

// onceFlag is true once.
type onceFlag struct{ done atomic.Bool }

func (o *onceFlag) first() bool { return o.done.CompareAndSwap(false, true) }

// readBatch shares ReadIndex among strong reads: those that come while one is
// under way wait for the next, because the present one may have begun before
// them.
type readBatch struct {
	mu      sync.Mutex
	running bool
	next    *readRound
}

type readRound struct {
	done  chan struct{}
	index codec.Index
	err   error
}

// ErrNoLeader: nobody leads, or whoever did could not confirm it in time.
var ErrNoLeader = errors.New("no leader answers")

// ReadIndex is an index at which a read is linearizable (thesis, section 6.4).
func (g *Group) ReadIndex(ctx context.Context) (codec.Index, error) {
	if !g.started.Load() || g.ctx.Err() != nil {
		return 0, ErrStopped
	}
	r := g.reads.join(g.readIndexOnce)
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-g.done:
		return 0, ErrStopped
	}
}

// join is the round that begins after this call. ask asks for one round; it is
// called in a goroutine that ends when nobody waits.
func (b *readBatch) join(ask func() (codec.Index, error)) *readRound {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = &readRound{done: make(chan struct{})}
	}
	if !b.running {
		b.running = true
		go b.rounds(ask)
	}
	return b.next
}

func (b *readBatch) rounds(ask func() (codec.Index, error)) {
	for r := b.take(); r != nil; r = b.take() {
		r.index, r.err = ask()
		close(r.done)
	}
}

// take is the next round; nil ends the rounds.
func (b *readBatch) take() *readRound {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.next
	b.next, b.running = nil, r != nil
	return r
}

const readTimeout = 10 * time.Second

// readIndexOnce asks until a leader confirms.
func (g *Group) readIndexOnce() (codec.Index, error) {
	ctx, cancel := context.WithTimeout(g.ctx, readTimeout)
	defer cancel()
	for {
		a, err := g.leaderCall(ctx, &codec.ReadIndex{})
		if err == nil && a.Status == codec.CallOK {
			return a.Index, nil
		}
		if g.ctx.Err() != nil {
			return 0, ErrStopped
		}
		if ctx.Err() != nil {
			return 0, ErrNoLeader
		}
		g.client.pause(ctx, noLeaderPause)
	}
}

// Query asks the machine once index at is applied. It returns the index at
// which the machine was when it answered.
func (g *Group) Query(ctx context.Context, q []byte, at codec.Index) ([]byte, codec.Index, error) {
	reply := make(chan queryAnswer, 1)
	if !g.send(func() *actor.PID { return g.replay }, query{ctx: ctx, at: at, query: q, reply: reply}) {
		return nil, 0, ErrStopped
	}
	select {
	case a := <-reply:
		return a.data, a.index, a.err
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-g.done:
		return nil, 0, ErrStopped
	}
}

// Applied waits until the machine has applied index at.
func (g *Group) Applied(ctx context.Context, at codec.Index) error {
	done := make(chan struct{})
	if !g.send(func() *actor.PID { return g.replay }, waitApplied{ctx: ctx, at: at, done: done}) {
		return ErrStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-g.done:
		return ErrStopped
	}
}
