package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// loadRaft reads the raft view, and checks what raftView says is always true.
func (s *store) loadRaft(synced syncedView) (v raftView, err error) {
	body, found, err := s.record(single(prefixView), "the bounds of the raft view")
	if err != nil || !found {
		return v, err
	}
	if v.bounds, err = readBounds(body); err != nil {
		return v, damage("the bounds of the raft view", 0, err)
	}
	v.exists = true
	if v.hard, err = s.hardState(); err != nil {
		return v, err
	}
	if v.applied, v.config, err = s.applied(); err != nil {
		return v, err
	}
	if err := s.checkSealed(&v, synced); err != nil {
		return v, err
	}
	if err := s.loadTerms(&v); err != nil {
		return v, err
	}
	if err := s.loadTail(&v); err != nil {
		return v, err
	}
	return v, v.check()
}

// hardState is the hard state. A node that does not know for whom it voted must
// not vote: so it must be there, and whole.
func (s *store) hardState() (h codec.HardState, err error) {
	const what = "the hard state (term, vote and commit index): this node must not vote any more"
	body, found, err := s.record(single(prefixHard), what)
	if err == nil && !found {
		err = &DamageError{What: what, Cause: errGone}
	}
	if err != nil {
		return h, err
	}
	if h, err = readHard(body); err != nil {
		return h, damage(what, 0, err)
	}
	return h, nil
}

func (s *store) applied() (i codec.Index, c codec.Configuration, err error) {
	const what = "raft-applied and its configuration"
	body, found, err := s.record(single(prefixApplied), what)
	if err == nil && !found {
		err = &DamageError{What: what, Cause: errGone}
	}
	if err != nil {
		return i, c, err
	}
	if i, c, err = readApplied(body); err != nil {
		return i, c, &DamageError{What: what, Cause: err}
	}
	return i, c, nil
}

// checkSealed holds the sealed end against the blocks.
func (s *store) checkSealed(v *raftView, synced syncedView) (err error) {
	end := codec.Cursor{}
	if v.blocks > synced.blocks {
		return &DamageError{What: fmt.Sprintf("Raft sealed %d blocks, but there are %d", v.blocks, synced.blocks), Index: synced.last.Index + 1}
	}
	if v.blocks > 0 {
		if end, err = s.endOf(v.blocks - 1); err != nil {
			return err
		}
	}
	if end != v.sealed {
		return &DamageError{What: fmt.Sprintf("Raft sealed to %v, but block %d ends at %v", v.sealed, v.blocks-1, end), Index: min(end.Index, v.sealed.Index)}
	}
	v.sealedConfig, err = s.configAt(v.blocks)
	return err
}

// loadTerms reads the terms of the sealed part. Terms never fall, so a block
// that ends in the term in which the one before it ended need not be read.
func (s *store) loadTerms(v *raftView) error {
	v.terms = termRuns{v.prev}
	if v.prev.Index == v.sealed.Index {
		return nil
	}
	number, _, err := s.blockOf(v.prev.Index + 1)
	if err != nil {
		return err
	}
	for ; number < v.blocks; number++ {
		end, err := s.endOf(number)
		if err != nil {
			return err
		}
		if end.Term == v.terms[len(v.terms)-1].Term {
			continue
		}
		data, err := s.block(number)
		if err != nil {
			return err
		}
		entries, err := decode(number, data)
		if err != nil {
			return err
		}
		for i := range entries {
			if entries[i].Index > v.prev.Index {
				v.terms.add(entries[i].Cursor())
			}
		}
	}
	return nil
}

// loadTail reads the tail, which has no hole and nothing before it.
func (s *store) loadTail(v *raftView) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: single(prefixEntry), UpperBound: after(prefixEntry)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	next := v.sealed
	for it.First(); it.Valid(); it.Next() {
		next.Index++
		if i := codec.Index(numberOf(it.Key())); len(it.Key()) != 9 || i != next.Index {
			return &DamageError{What: fmt.Sprintf("the tail goes on at index %d", i), Index: min(i, next.Index)}
		}
		e, err := tailEntry(it, next.Index)
		if err == nil && e.Term < next.Term {
			err = fmt.Errorf("its term is %d after %d", e.Term, next.Term)
		}
		if err != nil {
			return &DamageError{What: "an entry of the tail", Index: next.Index, Cause: err}
		}
		v.tail, next.Term = append(v.tail, e), e.Term
		v.terms.add(e.Cursor())
	}
	if err := it.Error(); err != nil {
		return &DamageError{What: "the tail", Index: next.Index + 1, Cause: err}
	}
	return nil
}

// tailEntry is the checked entry at which it stands, copied.
func tailEntry(it *pebble.Iterator, i codec.Index) (codec.Entry, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return codec.Entry{}, err
	}
	body, err := bodyOf(it.Key(), value)
	if err != nil {
		return codec.Entry{}, err
	}
	return readEntry(i, append(make([]byte, 0, len(body)), body...))
}

// check holds the parts of the view against each other.
func (v *raftView) check() error {
	wrong := func(at codec.Index, format string, args ...any) error {
		return &DamageError{What: fmt.Sprintf(format, args...), Index: at}
	}
	last := v.last()
	switch {
	case v.hard.Commit > last:
		return wrong(last+1, "entries to index %d are committed, but the last one here is %d", v.hard.Commit, last)
	case v.sealed.Index > v.hard.Commit:
		return wrong(v.hard.Commit+1, "blocks are sealed to index %d, but only %d is committed", v.sealed.Index, v.hard.Commit)
	case v.applied > v.hard.Commit || v.applied < v.prev.Index || v.prev.Index > v.sealed.Index:
		return wrong(v.prev.Index, "raft-applied %d is not in [%d, %d], or the horizon is above sealed %d", v.applied, v.prev.Index, v.hard.Commit, v.sealed.Index)
	case v.terms.at(last) > v.hard.Term:
		return wrong(last, "the last entry has term %d, but the current term is %d", v.terms.at(last), v.hard.Term)
	}
	return nil
}
