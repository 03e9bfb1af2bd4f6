package disk

import (
	"fmt"
	"slices"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Adopt makes the raft view jump to at, the end of a block of the synced view,
// durably. A term other than at's there, or, if ids is not nil, a configuration
// there of other members, is a *ledger.DivergenceError, a configuration of another
// log that holds this node a *ledger.LogIDError, and changes nothing; at
// beyond the synced view is codec.ErrUnavailable. At or below the commit index
// only the checks are made.
func (l *Ledger) Adopt(at codec.Cursor, ids []codec.RaftID) error {
	blocks, err := l.checkAdopt(at, ids)
	if err != nil || l.now.view != nil && at.Index <= l.now.hard.Commit {
		return err
	}
	return l.adopt(blocks)
}

// CheckAdopt makes the checks of Adopt and changes nothing.
func (l *Ledger) CheckAdopt(at codec.Cursor, ids []codec.RaftID) error {
	_, err := l.checkAdopt(at, ids)
	return err
}

// AdoptHead adopts the end of the synced view if that is above the commit index
// or there is no raft view, and reports whether it did.
func (l *Ledger) AdoptHead() (bool, error) {
	s := &l.now
	switch blocks := len(s.blocks); {
	case l.closed:
		return false, ledger.ErrClosed
	case blocks == 0 || s.view != nil && s.end(blocks).Index <= s.hard.Commit:
		return false, nil
	default:
		return true, l.adopt(blocks)
	}
}

// checkAdopt is how many blocks end at at.
func (l *Ledger) checkAdopt(at codec.Cursor, ids []codec.RaftID) (blocks int, err error) {
	if l.closed {
		return 0, ledger.ErrClosed
	}
	s := &l.now
	if at.Index == 0 || at.Index > s.end(len(s.blocks)).Index {
		return 0, fmt.Errorf("disk: adopt %v: %w", at, codec.ErrUnavailable)
	}
	blocks = s.blockOf(at.Index) + 1
	end := s.end(blocks)
	if end.Index != at.Index {
		return 0, fmt.Errorf("disk: adopt %v: block %d ends at %v", at, blocks-1, end)
	}
	if end.Term != at.Term {
		return 0, &ledger.DivergenceError{What: "term", Index: at.Index, Ours: fmt.Sprint(end.Term), Theirs: fmt.Sprint(at.Term)}
	}
	if s.view == nil || at.Index > s.hard.Commit {
		if _, err := l.learnFrom(s.configAt(blocks)); err != nil {
			return 0, err
		}
	}
	ours := []codec.RaftID{}
	for _, m := range s.configAt(blocks).Members {
		ours = append(ours, m.RaftID)
	}
	if ids != nil && !slices.Equal(ours, slices.Sorted(slices.Values(ids))) {
		return 0, &ledger.DivergenceError{What: "configuration", Index: at.Index, Ours: fmt.Sprint(ours), Theirs: fmt.Sprint(ids)}
	}
	return blocks, nil
}

// adopt makes the raft view begin behind the first blocks blocks, which end above
// the commit index.
func (l *Ledger) adopt(blocks int) error {
	b, err := l.adoption(blocks)
	if err != nil {
		return err
	}
	return l.write(OnAdopt, b, true)
}

func (l *Ledger) adoption(blocks int) (batch, error) {
	h := &l.disk.Hooks
	at, hard, config := l.now.end(blocks), l.now.hard, l.now.configAt(blocks)
	if at.Term > hard.Term {
		hard.Term = at.Term
		if !h.AdoptKeepsVote {
			hard.Vote = 0
		}
	}
	hard.Commit = at.Index
	id, err := l.learnFrom(config)
	if h.AdoptKeepsConfig {
		config = l.now.applied.config
	}
	tail := l.tailAbove(at)
	return batch{
		log: id, view: &bounds{hidden: blocks, sealed: blocks}, hard: &hard, tail: &tail, applied: &applied{index: at.Index, config: config},
	}, err
}

// tailAbove is the tail above at if the tail holds at with the same term: only
// then are they of one history.
func (l *Ledger) tailAbove(at codec.Cursor) []codec.Entry {
	h := &l.disk.Hooks
	for i, e := range l.now.tail {
		if e.Index == at.Index && (e.Term == at.Term || h.AdoptKeepsTail) && !h.AdoptLosesTail {
			return slices.Clone(l.now.tail[i+1:])
		}
	}
	return nil
}
