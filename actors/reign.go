package actors

import (
	"context"
	"sync"
)

// reign ends what waits for a leader when another leads, or nobody: one that
// does not answer, paused or unheard, would be waited for until the deadline. Its
// zero value is ready.
type reign struct {
	mu    sync.Mutex
	ended chan struct{} // closed when the present one is over; nil: nobody has asked yet
}

// now is closed when the present reign is over.
func (r *reign) now() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = make(chan struct{})
	}
	return r.ended
}

// over says that another leads, or nobody.
func (r *reign) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		close(r.ended)
		r.ended = nil
	}
}

// within is a context that also ends when ended is closed.
func within(ctx context.Context, ended <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
