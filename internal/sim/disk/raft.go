package disk

import (
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Found makes e, which must be entry 1, the first and committed entry of a new
// log. It is durable when Found returns.
func (l *Ledger) Found(e codec.Entry) error {
	if e.Index != 1 || e.Term == 0 || e.Kind != codec.KindConfig {
		return errors.New("disk: a log is founded by a configuration at index 1")
	}
	if err := codec.CheckEntry(e); err != nil {
		return err
	}
	if err := l.mayBegin(); err != nil {
		return err
	}
	id, err := l.learn(codec.LogIDOf(e.Data))
	if err != nil {
		return err
	}
	return l.write(OnFound, batch{
		log: id, tail: &[]codec.Entry{e}, view: &bounds{}, hard: &codec.HardState{Term: e.Term, Commit: 1}, applied: &applied{},
	}, true)
}

// OpenEmpty makes an empty raft view, durably; on a ledger with a raft view it
// does nothing.
func (l *Ledger) OpenEmpty() error {
	if l.now.view != nil {
		return nil
	}
	if err := l.mayBegin(); err != nil {
		return err
	}
	return l.write(OnOpenEmpty, batch{view: &bounds{}, hard: &codec.HardState{}, applied: &applied{}}, true)
}

func (l *Ledger) mayBegin() error {
	if l.closed {
		return ledger.ErrClosed
	}
	if l.now.view != nil || len(l.now.blocks) > 0 {
		return errors.New("disk: it holds a log already")
	}
	return nil
}

// Save stores what a Ready of Raft asks for: entries take the place of all at and
// above the first of them, hard is the new hard state if it is not nil. With sync
// it is durable when Save returns, with all earlier writes.
func (l *Ledger) Save(entries []codec.Entry, hard *codec.HardState, sync bool) error {
	if l.closed {
		return ledger.ErrClosed
	}
	if err := l.checkSave(entries, hard); err != nil {
		return fmt.Errorf("disk: save: %w", err)
	}
	if len(entries) == 0 && hard == nil && !sync {
		return nil
	}
	var b batch
	if hard != nil {
		h := *hard
		b.hard = &h
	}
	if len(entries) > 0 {
		tail := append(l.below(entries[0].Index), entries...)
		b.tail = &tail
	}
	return l.write(OnSave, b, sync)
}

// below is the tail below index i, ready to be appended to.
func (l *Ledger) below(i codec.Index) []codec.Entry {
	tail := l.now.tail
	if n := int(i - l.now.sealed().Index - 1); n < len(tail) {
		return tail[:n:n]
	}
	return tail
}

func (l *Ledger) checkSave(entries []codec.Entry, hard *codec.HardState) error {
	s := &l.now
	if s.view == nil {
		return ledger.ErrNoRaftView
	}
	last, old, next := s.last().Index, s.hard, s.hard
	if hard != nil {
		next = *hard
	}
	if len(entries) > 0 {
		if err := s.follows(entries); err != nil {
			return err
		}
		last = entries[len(entries)-1].Index
		if term := entries[len(entries)-1].Term; term > next.Term {
			return fmt.Errorf("an entry of term %d, but the term is %d", term, next.Term)
		}
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

// follows checks that entries may follow an entry of the raft view that is not
// below the commit index.
func (s *state) follows(entries []codec.Entry) error {
	first := entries[0].Index
	if first <= s.hard.Commit || first > s.last().Index+1 {
		return fmt.Errorf("entries from index %d, but %d is committed and %d is the last", first, s.hard.Commit, s.last().Index)
	}
	before := codec.Cursor{Index: first - 1, Term: s.term(first - 1)}
	for _, e := range entries {
		if e.Index != before.Index+1 || e.Term < before.Term || e.Term == 0 {
			return fmt.Errorf("entry %v cannot follow %v", e.Cursor(), before)
		}
		if err := codec.CheckEntry(e); err != nil {
			return fmt.Errorf("entry %v: %w", e.Cursor(), err)
		}
		before = e.Cursor()
	}
	return nil
}

// SetRaftApplied stores how far configuration entries were applied, and the
// configuration there. It is not synced. A configuration of another log that holds
// this node is a *ledger.LogIDError.
func (l *Ledger) SetRaftApplied(i codec.Index, c codec.Configuration) error {
	if l.closed {
		return ledger.ErrClosed
	}
	if s := &l.now; s.view == nil || i < s.applied.index || i > s.hard.Commit {
		return fmt.Errorf("disk: raft-applied %d is not in [%d, %d]", i, s.applied.index, s.hard.Commit)
	}
	if _, err := codec.EncodeConfiguration(c); err != nil {
		return fmt.Errorf("disk: configuration at index %d: %w", i, err)
	}
	id, err := l.learnFrom(c)
	if err != nil {
		return err
	}
	return l.write(OnSetRaftApplied, batch{log: id, applied: &applied{index: i, config: c}}, false)
}

// MoveHorizon hides sealed blocks from Raft until it sees no more than the newest
// HorizonBlocks of those it sealed. No index at or above floor is hidden (0: no
// such limit), and none above raft-applied. It is not synced.
func (l *Ledger) MoveHorizon(floor codec.Index) error {
	if l.closed {
		return ledger.ErrClosed
	}
	s := &l.now
	if s.view == nil {
		return nil
	}
	next := *s.view
	for next.hidden+l.horizon < next.sealed {
		end := s.end(next.hidden + 1).Index
		if stop := end > s.applied.index || floor != 0 && end >= floor; stop && !l.disk.Hooks.HideUnapplied {
			break
		}
		next.hidden++
	}
	if next == *s.view {
		return nil
	}
	return l.write(OnMoveHorizon, batch{view: &next}, false)
}

// HasRaftView reports whether there is anything that Raft could open on.
func (l *Ledger) HasRaftView() bool { return l.now.view != nil }

// HardState is what Raft saved last, raised by adoption.
func (l *Ledger) HardState() codec.HardState { return l.now.hard }

// RaftApplied is the index up to which Raft's configuration entries were applied,
// and the configuration there.
func (l *Ledger) RaftApplied() (codec.Index, codec.Configuration) {
	return l.now.applied.index, l.now.applied.config
}

// Sealed is the end of the newest block that the raft view sealed, and the
// configuration there; zero if there is none.
func (l *Ledger) Sealed() (codec.Cursor, codec.Configuration) {
	if l.now.view == nil {
		return codec.Cursor{}, codec.Configuration{}
	}
	return l.now.sealed(), l.now.configAt(l.now.view.sealed)
}

// FirstIndex is the lowest index that Raft sees, the horizon.
func (l *Ledger) FirstIndex() codec.Index { return l.now.prev().Index + 1 }

// LastIndex is the highest index that Raft sees; FirstIndex-1 if there is none.
func (l *Ledger) LastIndex() codec.Index { return l.now.last().Index }

// Term is the term of entry i, which must be in [FirstIndex-1, LastIndex]; else
// it is codec.ErrCompacted or codec.ErrUnavailable.
func (l *Ledger) Term(i codec.Index) (codec.Term, error) {
	switch {
	case i < l.now.prev().Index:
		return 0, codec.ErrCompacted
	case i > l.now.last().Index:
		return 0, codec.ErrUnavailable
	}
	return l.now.term(i), nil
}
