package ledger

import (
	"sort"

	"github.com/logmesh/logmesh/codec"
)

// raftView is the log as Raft sees it: entries (bounds.prev, last]. What lies at
// or below bounds.sealed is in blocks, shared with the synced view; the rest is
// the tail, kept in memory whole (Raft bounds what is not committed, and what is
// committed is sealed as soon as a block is full).
//
// prev ≤ applied ≤ hard.Commit ≤ last, and sealed ≤ hard.Commit.
type raftView struct {
	exists bool
	bounds
	hard         codec.HardState
	applied      codec.Index
	config       codec.Configuration // at applied
	sealedConfig codec.Configuration // at sealed
	tail         []codec.Entry       // from sealed.Index+1 on
	gone         int                 // sealed entries that tail's array still holds on to
	terms        termRuns            // of [prev, last]
}

func (v *raftView) last() codec.Index { return v.sealed.Index + codec.Index(len(v.tail)) }

// inTail is the part of the tail in [lo, hi]; lo must be above sealed.
func (v *raftView) inTail(lo, hi codec.Index) []codec.Entry {
	from, to := lo-v.sealed.Index-1, hi-v.sealed.Index
	return v.tail[from:to:to]
}

// truncate drops the entries at and above from. Slices of the tail that were
// handed out stay as they are, because the next append makes a new array.
func (v *raftView) truncate(from codec.Index) {
	n := int(from - v.sealed.Index - 1)
	v.tail = v.tail[:n:n]
	v.terms.truncate(from)
}

// dropSealed forgets the first n entries of the tail, now in a block. Their
// memory is freed when it would be more than that of what remains.
func (v *raftView) dropSealed(n int) {
	v.tail, v.gone = v.tail[n:], v.gone+n
	if v.gone >= len(v.tail) {
		v.tail, v.gone = append([]codec.Entry(nil), v.tail...), 0
	}
}

// termRuns are the terms of consecutive entries, as the first index of each run
// of equal ones. Terms never fall along a log.
type termRuns []codec.Cursor

// add appends the entry after the last one.
func (r *termRuns) add(c codec.Cursor) {
	if n := len(*r); n == 0 || (*r)[n-1].Term != c.Term {
		*r = append(*r, c)
	}
}

// at is the term at i, which must not be below the first run.
func (r termRuns) at(i codec.Index) codec.Term {
	n := sort.Search(len(r), func(k int) bool { return r[k].Index > i })
	return r[n-1].Term
}

// truncate drops the terms at and above from. Readers may hold the old runs.
func (r *termRuns) truncate(from codec.Index) {
	n := sort.Search(len(*r), func(k int) bool { return (*r)[k].Index >= from })
	*r = (*r)[:n:n]
}

// raise makes prev the first position.
func (r *termRuns) raise(prev codec.Cursor) {
	n := sort.Search(len(*r), func(k int) bool { return (*r)[k].Index > prev.Index })
	*r = append(termRuns{prev}, (*r)[n:]...)
	if len(*r) > 1 && (*r)[1].Term == prev.Term {
		*r = append((*r)[:1], (*r)[2:]...)
	}
}

// HasRaftView reports whether there is anything that Raft could open on: the
// log was founded here, adopted, or opened empty.
func (l *Ledger) HasRaftView() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.raft.exists
}

// HardState is what Raft saved last, raised by adoption.
func (l *Ledger) HardState() codec.HardState {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.raft.hard
}

// FirstIndex is the lowest index that Raft sees, the horizon.
func (l *Ledger) FirstIndex() codec.Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.raft.prev.Index + 1
}

// LastIndex is the highest index that Raft sees; FirstIndex-1 if there is none.
func (l *Ledger) LastIndex() codec.Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.raft.last()
}

// Term is the term of entry i, which must be in [FirstIndex-1, LastIndex]; else
// it is codec.ErrCompacted or codec.ErrUnavailable.
func (l *Ledger) Term(i codec.Index) (codec.Term, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case i < l.raft.prev.Index:
		return 0, codec.ErrCompacted
	case i > l.raft.last():
		return 0, codec.ErrUnavailable
	case len(l.raft.terms) == 0 || i < l.raft.terms[0].Index:
		return 0, nil // index 0
	}
	return l.raft.terms.at(i), nil
}

// RaftApplied is the index up to which Raft's configuration entries were
// applied, and the configuration there.
func (l *Ledger) RaftApplied() (codec.Index, codec.Configuration) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.raft.applied, l.raft.config
}

// Sealed is the end of the newest block that the raft view sealed, never above
// the commit index, and the configuration there; zero if there is none.
func (l *Ledger) Sealed() (codec.Cursor, codec.Configuration) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.raft.sealed, l.raft.sealedConfig
}
