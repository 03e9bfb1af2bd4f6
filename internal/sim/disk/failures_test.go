package disk_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/sim/disk"
)

var stride = flag.Int("stride", 29, "TestEveryFailure and TestNoSpace try every so manieth write, sync and change of a directory; 1: all")

// broken goes on after a change of the machine's disk failed, during a call that
// ended with got or before.
func (w *world) broken(what string, before *disk.Disk, got error, do func(subject) error) error {
	if got != nil { // nothing is promised about this call
		w.disk.Hooks.SkipSync = disk.OnAll
	}
	want := do(w.model)
	w.disk.Hooks.SkipSync = 0
	if got != nil && want == nil && !isA[*ledger.FailedError](got) {
		return fmt.Errorf("%s during a failure: %w", what, got)
	}
	disks := []*disk.Disk{w.disk}
	if got != nil {
		disks = []*disk.Disk{before, w.disk}
	}
	if err := w.settle(disks...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// settle looks at a machine of which a change of the disk failed, and restarts it.
func (w *world) settle(disks ...*disk.Disk) error {
	if err := w.notices(); err != nil {
		return err
	}
	closed := errors.Is(w.it.CheckAdopt(codec.Cursor{}, nil), ledger.ErrClosed)
	if _, _, err := w.fits(disks...); err != nil && !closed {
		return fmt.Errorf("reads after the failure: %w", err)
	}
	return w.goOn(nil, disks...)
}

// notices waits until the machine has noticed the failure, and sees that it writes
// no more.
func (w *world) notices() error {
	for begin := time.Now(); w.it.Failed() == nil; runtime.Gosched() {
		if time.Since(begin) > 10*time.Second {
			return errors.New("the ledger does not know of the failure")
		}
	}
	if err := w.it.Save(nil, nil, true); w.it.HasRaftView() && !isA[*ledger.FailedError](err) && !errors.Is(err, ledger.ErrClosed) {
		return fmt.Errorf("a write after the failure: %w", err)
	}
	return nil
}

// goOn restarts the machine after a failure, when opening it ended with opened: at
// first with the failure still there, if it lasts; then, perhaps after a crash, on
// a disk that is well. It holds one of the states on disks.
func (w *world) goOn(opened error, disks ...*disk.Disk) error {
	if opened == nil {
		if err := w.it.Close(); err != nil && !isA[*ledger.FailedError](err) {
			return fmt.Errorf("close after a failure: %w", err)
		}
	}
	if err := w.it.restart(); err == nil {
		_, _, err := w.fits(disks...)
		_ = w.it.Close()
		if err != nil {
			return fmt.Errorf("restart with the failure still there: %w", err)
		}
	}
	w.it.heal()
	if w.oneIn(2, "crash") {
		w.it.crash(w.c)
	}
	w.restarts++
	return w.restartOn(disks...)
}

// life does every operation at least once.
func (w *world) life() error {
	steps := []func(*world) error{
		(*world).begin, (*world).save, (*world).save, (*world).seal, (*world).apply, (*world).release, (*world).adopt, (*world).horizon,
		(*world).save, (*world).seal, (*world).stop, (*world).release, (*world).drop, (*world).logID, (*world).crash, (*world).save, (*world).removed,
		(*world).recover, (*world).save, (*world).stop,
	}
	for i, do := range steps {
		if err := errors.Join(do(w), w.same()); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

// failing runs a life in which a change fails, for every stride-th change there is,
// and ends with a ledger that is whole. breaks is told of the k-th change, from 1, and does it
// or not.
func failing(t *testing.T, breaks func(k, failAt int, c change, do func() error) (failed bool, err error)) {
	for failAt := 1 + int(*seed)%*stride; ; failAt += *stride {
		r := newReal()
		var mu sync.Mutex
		k := 0
		r.around = func(c change, do func() error) error {
			if c.what == "remove" { // a file too many
				return do()
			}
			mu.Lock()
			defer mu.Unlock()
			k++
			failed, err := breaks(k, failAt, c, do)
			if failed {
				r.broken.Store(true)
			}
			return err
		}
		w := &world{c: seeded{rand.New(rand.NewPCG(*seed, 3))}, it: r, opts: testOptions()}
		require.NoError(t, w.restartOn(disk.New()), "change %d", failAt)
		require.NoError(t, w.life(), "change %d", failAt)
		reached := r.around == nil
		r.heal()
		require.NoError(t, w.both("close", subject.Close), "change %d", failAt)
		require.NoError(t, r.verify(), "change %d", failAt)
		if !reached {
			t.Logf("every %d. of %d changes, seed %d", *stride, k, *seed)
			require.Greater(t, failAt, 100)
			return
		}
	}
}

// Each write, sync and change of a directory fails once: it is not done, half done,
// or done and yet reported failed. The ledger writes nothing more, reads go on, and
// a restart, with or without a crash, finds all that was acknowledged (fault S5).
func TestEveryFailure(t *testing.T) {
	for _, how := range []string{"not done", "half done", "done"} {
		t.Run(how, func(t *testing.T) {
			failing(t, func(k, failAt int, c change, do func() error) (bool, error) {
				switch {
				case k != failAt:
					return false, do()
				case how == "done":
					return true, errors.Join(do(), errIO)
				case how == "half done" && c.half != nil:
					return true, errors.Join(c.half(), errIO)
				}
				return true, errIO
			})
		})
	}
}

// The disk is full from some write on. Nothing that was acknowledged is lost; a
// restart on the full disk works or fails, and once there is space again all is
// well (fault S6).
func TestNoSpace(t *testing.T) {
	failing(t, func(k, failAt int, c change, do func() error) (bool, error) {
		if k < failAt || c.sync || c.what == "rename" {
			return false, do()
		}
		if c.half != nil {
			return true, errors.Join(c.half(), syscall.ENOSPC)
		}
		return true, syscall.ENOSPC
	})
}
