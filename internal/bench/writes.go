package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/kv"
)

// writes is a client that writes at a steady rate, whether or not the writes before
// were answered, and notes how long each took.
type writes struct {
	machine string

	mu     sync.Mutex
	took   []float64 // seconds
	failed error     // the first
	cancel context.CancelFunc
	all    sync.WaitGroup
}

func newWrites(machine string) *writes { return &writes{machine: machine} }

// writeBytes is the value of a write, in bytes.
const writeBytes = 128

// command makes a write of value.
func (w *writes) command(key string, value []byte) ([]byte, error) {
	if w.machine == MachineKV {
		return kv.EncodeCommand(kv.Put{Key: key, Value: value})
	}
	return value, nil
}

func (w *writes) begin(g *logmesh.Group, perSecond float64) error {
	command, err := w.command("bench-writer", appendRandom(nil, rand.NewPCG(1, 1), writeBytes))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := g.Execute(ctx, command); err != nil { // opens the client session
		cancel()
		return err
	}
	w.cancel = cancel
	w.all.Go(func() {
		tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.all.Go(func() { w.one(ctx, g, command) })
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

func (w *writes) one(ctx context.Context, g *logmesh.Group, command []byte) {
	begun := time.Now()
	_, err := g.Execute(ctx, command)
	took := time.Since(begun).Seconds()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.took = append(w.took, took)
	case ctx.Err() == nil && w.failed == nil:
		w.failed = err
	}
}

// take is the times so far, which begin anew.
func (w *writes) take() []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := w.took
	w.took = nil
	return took
}

// end takes what is left once the last write has returned.
func (w *writes) end(context.Context) ([]float64, error) {
	w.stop()
	if w.failed != nil {
		return nil, fmt.Errorf("a write failed: %w", w.failed)
	}
	return w.take(), nil
}

func (w *writes) stop() {
	if w.cancel != nil {
		w.cancel()
		w.all.Wait()
		w.cancel = nil
	}
}
