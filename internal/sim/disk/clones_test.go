package disk_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/internal/sim/disk"
)

var (
	seed   = flag.Uint64("seed", 1, "first seed of the random tests")
	clones = flag.Int("clones", 200, "crash clones that TestCrashClones takes")
)

// clone is what a crash at one moment leaves of a file system.
type clone struct {
	fs   *vfs.MemFS
	seed uint64
	at   string
}

// cloner takes a clone before and after every sync and every change of a
// directory: everything but writes to files, which a clone before the next sync
// keeps at random.
type cloner struct {
	mu    sync.Mutex
	rng   *rand.Rand
	taken []clone
	left  int
}

func (k *cloner) take(fs *vfs.MemFS, at string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left == 0 {
		return
	}
	k.left--
	seed := k.rng.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: 25 * rng.IntN(5), RNG: rng}
	k.taken = append(k.taken, clone{fs: fs.CrashClone(cfg), seed: seed, at: at})
}

// drain is what was taken since the last call.
func (k *cloner) drain() []clone {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.taken
	k.taken = nil
	return out
}

func (k *cloner) around(r *real) func(c change, do func() error) error {
	return func(c change, do func() error) error {
		if c.what == "write" || c.what == "preallocate" {
			return do()
		}
		k.take(r.fs, fmt.Sprintf("before %s of %s", c.what, c.path))
		err := do()
		k.take(r.fs, fmt.Sprintf("after %s of %s", c.what, c.path))
		return err
	}
}

// check opens the clone: it holds one of the states that may be on one of disks.
// Then it goes on like any ledger, and is whole.
func (w *world) check(c clone, disks ...*disk.Disk) error {
	r := &real{fs: c.fs}
	sub := &world{c: seeded{rand.New(rand.NewPCG(c.seed, 1))}, it: r, opts: w.opts, truth: w.truth[:len(w.truth):len(w.truth)], blocks: w.blocks}
	if err := sub.restartOn(disks...); err != nil {
		return fmt.Errorf("crash %s (seed %d): %w", c.at, c.seed, err)
	}
	err := sub.run(2)
	if err == nil && sub.model.Failed() == nil {
		err = errors.Join(sub.both("close", subject.Close), r.verify())
	}
	_ = r.Close()
	if err != nil {
		return fmt.Errorf("going on after a crash %s (seed %d): %w", c.at, c.seed, err)
	}
	return nil
}

// A crash before and after every sync and every change of a directory, with any of
// what is not synced lost: the ledger opens by itself, holds everything up to the
// last synced write and nothing but the writes that followed, in their order, each
// whole; and goes on (faults S1, S10, P3).
func TestCrashClones(t *testing.T) {
	begin, took := time.Now(), 0
	for run := *seed; took < *clones; run++ {
		k := &cloner{rng: rand.New(rand.NewPCG(run, 2)), left: *clones - took}
		r := newReal()
		r.around = k.around(r)
		w := &world{c: seeded{rand.New(rand.NewPCG(run, 0))}, it: r, opts: testOptions()}
		w.after = func(disks ...*disk.Disk) error {
			for _, c := range k.drain() {
				if err := w.check(c, disks...); err != nil {
					return err
				}
				took++
			}
			return nil
		}
		require.NoError(t, w.restartOn(disk.New()), "run %d", run)
		require.NoError(t, w.run(40), "run %d", run)
		require.NoError(t, w.both("close", subject.Close), "run %d", run)
	}
	t.Logf("%d crash clones in %v, seeds from %d", took, time.Since(begin).Round(time.Millisecond), *seed)
}
