package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// stage is where a bench happens: a directory of its own and the processes that were
// started.
type stage struct {
	self    Self
	dir     string
	key     []byte // of the group
	timeout time.Duration
	outer   context.Context // of who asked for the bench

	ctx       context.Context // of all processes
	cancel    context.CancelFunc
	processes []*process
}

// Stage says where a bench happens, and for how long.
type Stage struct {
	Self    Self          // starts a part
	Dir     string        // where the ledgers lie while it runs; empty: where temporary files are
	Timeout time.Duration // of the whole bench; 0: none

	Say func(format string, args ...any) // gets what it is doing
}

// set makes the directory. close takes everything away again.
func (c Stage) set(ctx context.Context) (*stage, error) {
	dir, err := os.MkdirTemp(c.Dir, "logmesh-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the ledgers: %w", err)
	}
	s := &stage{self: c.Self, dir: dir, key: newKey(), timeout: c.Timeout, outer: ctx}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if c.Timeout > 0 {
		s.ctx, s.cancel = context.WithTimeout(ctx, c.Timeout)
	}
	return s, nil
}

// start starts a process that lives at most as long as the stage.
func (s *stage) start(part, name string) (*process, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	p, err := s.self.start(s.ctx, part, name)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return p, err
}

// place is a directory of the stage; in memory it has none.
func (s *stage) place(name string, memory bool) place {
	p := place{Key: s.key}
	if !memory {
		p.Dir = filepath.Join(s.dir, name)
	}
	return p
}

// remove takes away what a place holds.
func (s *stage) remove(p place) error {
	if p.Dir == "" {
		return nil
	}
	return os.RemoveAll(p.Dir)
}

// close ends the processes, all at once, and removes the directory. It returns err,
// of what was done on the stage, or why that was stopped.
func (s *stage) close(err error) error {
	switch {
	case s.outer.Err() != nil:
		err = errors.New("interrupted")
	case errors.Is(s.ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it took longer than %v; see --timeout", s.timeout)
	}
	var all sync.WaitGroup
	for _, p := range s.processes {
		all.Go(func() { _ = p.end() }) // what failed was told when it was asked
	}
	all.Wait()
	s.cancel()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// all asks several processes the same, at the same time. The first that fails ends the
// stage: the others may wait for it.
func all[R any](s *stage, processes []*process, verb string, args func(i int) any) ([]R, error) {
	var group errgroup.Group
	out := make([]R, len(processes))
	for i, p := range processes {
		group.Go(func() (err error) {
			if out[i], err = do[R](p, verb, args(i)); err != nil {
				s.cancel()
			}
			return err
		})
	}
	return out, group.Wait()
}

// same gives every process the same arguments.
func same(args any) func(int) any { return func(int) any { return args } }

// leaderOf finds the member that leads.
func (s *stage) leaderOf(members []*process) (*process, error) {
	leads, err := all[bool](s, members, "leader", same(none{}))
	for i, yes := range leads {
		if yes {
			return members[i], err
		}
	}
	return nil, errors.Join(errors.New("no member leads any more: the machine is too busy"), err)
}

// Quiet: the processes together use less than quietShare of one processor over
// quietLook. After quietPatience it has to do as it is.
const (
	quietShare    = 0.1
	quietLook     = 200 * time.Millisecond
	quietPatience = time.Minute
)

// quiet waits until processes have no work left from before, such as compactions.
func (s *stage) quiet(processes []*process) error {
	used := func() (sum float64, err error) {
		each, err := all[float64](s, processes, "cpu", same(none{}))
		for _, c := range each {
			sum += c
		}
		return sum, err
	}
	before, err := used()
	for begun := time.Now(); err == nil && time.Since(begun) < quietPatience; {
		if err := s.wait(quietLook); err != nil {
			return err
		}
		var now float64
		if now, err = used(); err == nil && now-before < quietShare*quietLook.Seconds() {
			return nil
		}
		before = now
	}
	return err
}

// wait waits for d, or for the end of the stage.
func (s *stage) wait(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}
