package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/logmesh/logmesh/internal/api"
)

// pipeline writes many keys with several requests in flight: at most
// api.MaxPipelined, and api.MaxPipelinedBytes of values. Writes of one key keep
// their order.
type pipeline struct {
	store   api.Store
	timeout time.Duration // of one write, with its repetitions; 0: none

	group *errgroup.Group
	ctx   context.Context // ends with the first failure
	bytes *semaphore.Weighted

	keys, sent atomic.Int64 // keys and bytes that are written

	mu     sync.Mutex
	flying map[string]chan struct{} // closed when the key's write has ended
}

func newPipeline(ctx context.Context, store api.Store, timeout time.Duration) *pipeline {
	p := &pipeline{store: store, timeout: timeout, bytes: semaphore.NewWeighted(api.MaxPipelinedBytes), flying: map[string]chan struct{}{}}
	p.group, p.ctx = errgroup.WithContext(ctx)
	p.group.SetLimit(api.MaxPipelined)
	return p
}

// put starts a write, when there is room. Its error says only that the pipeline
// has ended; wait has the reason.
func (p *pipeline) put(key string, value []byte) error {
	size := int64(len(value))
	if err := p.bytes.Acquire(p.ctx, size); err != nil {
		return err
	}
	ended, err := p.claim(key)
	if err != nil {
		p.bytes.Release(size)
		return err
	}
	p.group.Go(func() error {
		defer p.bytes.Release(size)
		defer p.release(key, ended)
		if err := p.write(key, value); err != nil {
			return fmt.Errorf("write %q: %w", key, err)
		}
		p.keys.Add(1)
		p.sent.Add(size)
		return nil
	})
	return nil
}

// claim waits until no other write of key is in flight.
func (p *pipeline) claim(key string) (chan struct{}, error) {
	mine := make(chan struct{})
	for {
		p.mu.Lock()
		other, busy := p.flying[key]
		if !busy {
			p.flying[key] = mine
		}
		p.mu.Unlock()
		if !busy {
			return mine, nil
		}
		select {
		case <-other:
		case <-p.ctx.Done():
			return nil, p.ctx.Err()
		}
	}
}

func (p *pipeline) release(key string, ended chan struct{}) {
	p.mu.Lock()
	delete(p.flying, key)
	p.mu.Unlock()
	close(ended)
}

// write repeats a write that did not happen, or may not have: writing a value
// twice is the same as once.
func (p *pipeline) write(key string, value []byte) error {
	ctx := p.ctx
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.timeout)
		defer cancel()
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		_, err := p.store.Put(ctx, key, value)
		if err == nil || !repeatable(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

func repeatable(err error) bool {
	return errors.Is(err, &api.Error{Code: api.CodeNoLeader}) || errors.Is(err, &api.Error{Code: api.CodeUnknown})
}

// wait is called once, after the last put.
func (p *pipeline) wait() error { return p.group.Wait() }
