package consensus

import (
	"errors"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

// storage shows the log to the library. failed keeps the first error that is
// not the library's own: it panics on those, and the Core then tells the cause.
type storage struct {
	log      Log
	hard     codec.HardState
	members  codec.Configuration
	snapshot func() (*raftpb.Snapshot, error)
	failed   error
}

func (s *storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hs := &raftpb.HardState{
		Term: new(uint64(s.hard.Term)), Vote: new(uint64(s.hard.Vote)), Commit: new(uint64(s.hard.Commit)),
	}
	return hs, confState(s.members), nil
}

// Entries reads at most maxEntriesRead, so that a long run of small entries
// costs no more than a few large ones.
func (s *storage) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	hi = min(hi, lo+maxEntriesRead)
	entries, err := s.log.Entries(codec.Index(lo), codec.Index(hi), maxSize)
	if err != nil {
		return nil, s.translate(err)
	}
	return limit(toProto(entries), maxSize), nil
}

func (s *storage) Term(i uint64) (uint64, error) {
	t, err := s.log.Term(codec.Index(i))
	return uint64(t), s.translate(err)
}

func (s *storage) LastIndex() (uint64, error)          { return uint64(s.log.LastIndex()), nil }
func (s *storage) FirstIndex() (uint64, error)         { return uint64(s.log.FirstIndex()), nil }
func (s *storage) Snapshot() (*raftpb.Snapshot, error) { return s.snapshot() }

func (s *storage) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, codec.ErrCompacted):
		return raft.ErrCompacted
	case errors.Is(err, codec.ErrUnavailable):
		return raft.ErrUnavailable
	}
	if s.failed == nil {
		s.failed = err
	}
	return err
}
