package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// Save stores what a Ready of Raft asks for, in one atomic write: entries take
// the place of all entries at and above the first of them; hard, if not nil, is
// the new hard state. With sync it is durable when Save returns, with all
// earlier writes. The ledger keeps the entries' data.
//
// Raft never asks for what would lose a committed entry, go back in term, vote or
// commit, or hold an entry of a term that is not begun; if the caller does, it is an
// error and nothing changes.
func (l *Ledger) Save(entries []codec.Entry, hard *codec.HardState, sync bool) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.raftMu.Lock()
	defer l.raftMu.Unlock()
	if err := l.checkSave(entries, hard); err != nil {
		return fmt.Errorf("ledger: save: %w", err)
	}
	if len(entries) == 0 && hard == nil && !sync {
		return nil
	}
	b := l.store.db.NewBatch()
	if err := l.putSave(b, entries, hard); err != nil {
		return errors.Join(fmt.Errorf("ledger: save: %w", err), b.Close())
	}
	if err := l.commit(b, sync); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &l.raft
	if hard != nil {
		v.hard = *hard
	}
	if len(entries) > 0 && entries[0].Index <= v.last() {
		v.truncate(entries[0].Index)
	}
	for _, e := range entries {
		v.tail = append(v.tail, e)
		v.terms.add(e.Cursor())
	}
	return nil
}

func (l *Ledger) putSave(b *pebble.Batch, entries []codec.Entry, hard *codec.HardState) error {
	if len(entries) > 0 {
		for i := entries[len(entries)-1].Index + 1; i <= l.raft.last(); i++ {
			if err := b.Delete(numbered(prefixEntry, i), nil); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		if err := setEntry(b, e); err != nil {
			return err
		}
	}
	if hard != nil {
		return set(b, single(prefixHard), hardBody(*hard))
	}
	return nil
}

// setEntry adds the record of e to b without a copy between.
func setEntry(b *pebble.Batch, e codec.Entry) error {
	key := [9]byte{prefixEntry}
	copy(key[1:], numbered(prefixEntry, e.Index)[1:])
	op := b.SetDeferred(len(key), entrySize(e))
	copy(op.Key, key[:])
	putEntry(op.Value, key[:], e)
	return op.Finish()
}

func (l *Ledger) checkSave(entries []codec.Entry, hard *codec.HardState) error {
	v := &l.raft
	if !v.exists {
		return ErrNoRaftView
	}
	last, next, old := v.last(), v.hard, v.hard
	if hard != nil {
		next = *hard
	}
	if len(entries) > 0 {
		if err := l.checkEntries(entries); err != nil {
			return err
		}
		end := entries[len(entries)-1]
		if end.Term > next.Term {
			return fmt.Errorf("entry %v is of a later term than the hard state, %d", end.Cursor(), next.Term)
		}
		last = end.Index
	}
	switch {
	case next.Term < old.Term || next.Commit < old.Commit:
		return fmt.Errorf("hard state %+v goes back behind %+v", next, old)
	case next.Term == old.Term && old.Vote != 0 && next.Vote != old.Vote:
		return fmt.Errorf("a second vote in term %d: for %v after %v", next.Term, next.Vote, old.Vote)
	case next.Commit > last:
		return fmt.Errorf("commit index %d is above the last index %d", next.Commit, last)
	}
	return nil
}

func (l *Ledger) checkEntries(entries []codec.Entry) error {
	v := &l.raft
	first := entries[0].Index
	if first <= v.hard.Commit || first > v.last()+1 {
		return fmt.Errorf("entries from index %d, but %d is committed and %d is the last", first, v.hard.Commit, v.last())
	}
	term := v.terms.at(first - 1)
	for i, e := range entries {
		if e.Index != first+codec.Index(i) || e.Term < term || e.Term == 0 {
			return fmt.Errorf("entry %v cannot stand at index %d after term %d", e.Cursor(), first+codec.Index(i), term)
		}
		if err := codec.CheckEntry(e); err != nil {
			return fmt.Errorf("entry %v: %w", e.Cursor(), err)
		}
		term = e.Term
	}
	return nil
}

// SetRaftApplied stores how far configuration entries were applied, and the
// configuration there. It is not synced by itself: after a crash an older value
// may be found, from which Raft applies the same entries again. A configuration of
// another log that holds this node is a *LogIDError.
func (l *Ledger) SetRaftApplied(i codec.Index, c codec.Configuration) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.raftMu.Lock()
	defer l.raftMu.Unlock()
	if v := &l.raft; !v.exists || i < v.applied || i > v.hard.Commit {
		return fmt.Errorf("ledger: raft-applied %d is not in [%d, %d]", i, v.applied, v.hard.Commit)
	}
	body, err := appliedBody(i, c)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	b := l.store.db.NewBatch()
	id, err := l.putMembership(b, c)
	if err = errors.Join(err, set(b, single(prefixApplied), body)); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, false); err != nil {
		return err
	}
	l.mu.Lock()
	l.raft.applied, l.raft.config, l.logID = i, c, id
	l.mu.Unlock()
	return nil
}
