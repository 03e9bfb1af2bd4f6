package ledger

import (
	"errors"
	"fmt"
	"io/fs"
)

// The directories of a repair, beside the database.
const (
	freshDir = databaseDir + ".new" // being written by Repair
	staleDir = databaseDir + ".old" // the damaged one, about to go
)

// swap puts the finished database in freshDir into the place of the damaged one:
//
//  1. the name freshDir is made durable
//  2. databaseDir becomes staleDir, durably
//  3. freshDir becomes databaseDir, durably
//  4. staleDir goes
//
// The database stays away only between 2 and 3, and freshDir is whole from 1 on.
// So a directory without databaseDir but with freshDir is one that was
// interrupted there, and finishSwap goes on with 3; with databaseDir, a freshDir
// is unfinished and a staleDir is done with, and both go.
func (s *store) swap() error {
	if err := syncDir(s.fs, s.root); err != nil {
		return err
	}
	if err := s.rename(s.dir, s.in(staleDir)); err != nil {
		return err
	}
	return s.finishSwap()
}

// finishSwap does what is left of an interrupted swap. Mostly that is nothing.
func (s *store) finishSwap() error {
	if !s.exists(s.dir) && s.exists(s.in(freshDir)) {
		if err := s.rename(s.in(freshDir), s.dir); err != nil {
			return err
		}
	}
	for _, name := range []string{freshDir, staleDir} {
		if !s.exists(s.in(name)) {
			continue
		}
		if err := errors.Join(s.fs.RemoveAll(s.in(name)), syncDir(s.fs, s.root)); err != nil {
			return fmt.Errorf("remove %s: %w", s.in(name), err)
		}
	}
	return nil
}

func (s *store) in(name string) string { return s.fs.PathJoin(s.root, name) }

func (s *store) exists(path string) bool {
	_, err := s.fs.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// rename moves a directory beside itself, durably.
func (s *store) rename(from, to string) error {
	if err := errors.Join(s.fs.Rename(from, to), syncDir(s.fs, s.root), s.w.failure()); err != nil {
		return fmt.Errorf("rename %s: %w", from, err)
	}
	return nil
}
