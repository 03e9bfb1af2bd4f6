package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// Adopt makes the raft view jump to s, the end of a block of the synced view. It
// is durable when Adopt returns. A term other than s's there, or, if ids is not
// nil, a configuration there of other members, is a *DivergenceError, a
// configuration of another log that holds this node a *LogIDError, and changes
// nothing; s beyond the synced view is codec.ErrUnavailable. At or below the
// commit index there is nothing to adopt: only the checks are made.
//
// Entries above s stay only if the tail holds s with the same term, because only
// then are they of the same history; else all go.
func (l *Ledger) Adopt(s codec.Cursor, ids []codec.RaftID) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	return l.adopt(s, ids)
}

// CheckAdopt makes the checks of Adopt and changes nothing.
func (l *Ledger) CheckAdopt(s codec.Cursor, ids []codec.RaftID) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	_, _, err = l.checkAdopt(s, ids)
	return err
}

// AdoptHead adopts the end of the synced view if that is above the commit index
// or there is no raft view, and reports whether it did. It is for the moment
// before Raft is opened.
func (l *Ledger) AdoptHead() (bool, error) {
	release, err := l.exclusive()
	if err != nil {
		return false, err
	}
	defer release()
	if l.synced.blocks == 0 || l.raft.exists && l.synced.last.Index <= l.raft.hard.Commit {
		return false, nil
	}
	return true, l.adopt(l.synced.last, nil)
}

func (l *Ledger) adopt(s codec.Cursor, ids []codec.RaftID) error {
	blocks, config, err := l.checkAdopt(s, ids)
	if err != nil {
		return err
	}
	if l.raft.exists && s.Index <= l.raft.hard.Commit {
		return nil
	}
	next := adopted(&l.raft, s)
	next.blocks, next.config, next.sealedConfig = blocks, config, config
	b := l.store.db.NewBatch()
	id, err := l.putMembership(b, config)
	if err = errors.Join(err, l.putAdopt(b, &next)); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, true); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raft, l.logID = next, id
	return nil
}

// checkAdopt finds s in the synced view, with the configuration there.
func (l *Ledger) checkAdopt(s codec.Cursor, ids []codec.RaftID) (blocks uint64, c codec.Configuration, err error) {
	if s.Index == 0 || s.Index > l.synced.last.Index {
		return 0, c, fmt.Errorf("ledger: adopt %v: %w", s, codec.ErrUnavailable)
	}
	number, _, err := l.store.blockOf(s.Index)
	if err != nil {
		return 0, c, err
	}
	end, err := l.store.endOf(number)
	if err != nil {
		return 0, c, err
	}
	if end.Index != s.Index {
		return 0, c, fmt.Errorf("ledger: adopt %v: block %d ends at %v", s, number, end)
	}
	if end.Term != s.Term {
		return 0, c, &DivergenceError{What: "term", Index: s.Index, Ours: fmt.Sprint(end.Term), Theirs: fmt.Sprint(s.Term)}
	}
	if c, err = l.store.configAt(number + 1); err != nil {
		return 0, c, err
	}
	if !l.raft.exists || s.Index > l.raft.hard.Commit { // below, we may have been a member of a log that ended
		if err := l.checkMembership(c); err != nil {
			return 0, c, err
		}
	}
	if ours := idsOf(c); ids != nil && !slices.Equal(ours, slices.Sorted(slices.Values(ids))) {
		return 0, c, &DivergenceError{What: "configuration", Index: s.Index, Ours: fmt.Sprint(ours), Theirs: fmt.Sprint(ids)}
	}
	return number + 1, c, nil
}

func idsOf(c codec.Configuration) []codec.RaftID {
	ids := make([]codec.RaftID, len(c.Members))
	for i, m := range c.Members {
		ids[i] = m.RaftID
	}
	return ids
}

// adopted is what v becomes at s, which is above its commit index.
func adopted(v *raftView, s codec.Cursor) raftView {
	next := raftView{exists: true, bounds: bounds{prev: s, sealed: s}, hard: v.hard, applied: s.Index, terms: termRuns{s}}
	if s.Term > next.hard.Term {
		next.hard.Term, next.hard.Vote = s.Term, 0
	}
	next.hard.Commit = s.Index
	if v.exists && s.Index <= v.last() && v.terms.at(s.Index) == s.Term {
		next.tail = slices.Clone(v.inTail(s.Index+1, v.last()))
		for _, e := range next.tail {
			next.terms.add(e.Cursor())
		}
	}
	return next
}

// putAdopt writes next and deletes what of the old tail is not in it.
func (l *Ledger) putAdopt(b *pebble.Batch, next *raftView) error {
	for _, e := range l.raft.tail {
		if e.Index > next.sealed.Index && len(next.tail) > 0 {
			break // the rest stays
		}
		if err := b.Delete(numbered(prefixEntry, e.Index), nil); err != nil {
			return err
		}
	}
	return putView(b, next)
}
