package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Flags are files that tell the next Open what the database does not say. They
// hold a line for people; that they are there is what counts.
const (
	// damagedFlag: damage was found while the ledger was open. Repair takes it down.
	damagedFlag = "DAMAGED"
	// lostFlag: this ledger lost what it had promised. It stays.
	lostFlag = "LOST"
)

// Damaged is the first damage that was found since the ledger was opened, by a
// read or by Pebble's background work; nil if there was none. Whoever sees it
// should stop: what can still be read goes on being right, but only Repair, which
// Open then asks for, brings back the rest.
func (l *Ledger) Damaged() error {
	if d := l.damaged.Load(); d != nil {
		return d
	}
	return nil
}

// note remembers err if it is damage, and leaves the flag for the next Open.
func (l *Ledger) note(err error) {
	var d *DamageError
	if !errors.As(err, &d) || !l.damaged.CompareAndSwap(nil, d) {
		return
	}
	l.raise(damagedFlag, d)
}

// GiveUp makes every later Open fail with why, for good: others have shown that
// entries are lost here which this node acknowledged.
func (l *Ledger) GiveUp(why error) { l.raise(lostFlag, why) }

func (l *Ledger) raise(flag string, why error) {
	if err := raiseFlag(l.store.fs, l.opts.Dir, flag, why); err != nil {
		l.opts.Logger.Error("ledger: the next start is not told", "dir", l.opts.Dir, "why", why, "err", err)
	}
}

func raiseFlag(disk vfs.FS, dir, flag string, why error) error {
	path := disk.PathJoin(dir, flag)
	f, err := disk.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = fmt.Fprintln(f, why)
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(disk, dir)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// checkFlags is a *DamageError if a flag stands.
func (s *store) checkFlags() error {
	why, raised, err := s.flag(lostFlag)
	if err != nil {
		return err
	}
	if raised {
		return &DamageError{What: "an earlier run found that it lost acknowledged entries", Cause: why, Lost: s.root}
	}
	why, raised, err = s.flag(damagedFlag)
	if err == nil && raised {
		err = &DamageError{What: "found by an earlier run", Cause: why}
	}
	return err
}

// flag reports whether a flag stands, and what it says.
func (s *store) flag(name string) (why error, raised bool, err error) {
	path := s.in(name)
	if !s.exists(path) {
		return nil, false, nil
	}
	const most = 1 << 10
	text, err := readFile(s.fs, path, most)
	return fmt.Errorf("%q", text), true, err
}

// lowerFlag takes down what Repair has repaired, durably.
func (s *store) lowerFlag() error {
	if !s.exists(s.in(damagedFlag)) {
		return nil
	}
	if err := errors.Join(s.fs.Remove(s.in(damagedFlag)), syncDir(s.fs, s.root), s.w.failure()); err != nil {
		return fmt.Errorf("remove %s: %w", damagedFlag, err)
	}
	return nil
}
