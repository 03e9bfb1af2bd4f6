package disk

import (
	"fmt"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// state is what a ledger holds, one field a record. It is never changed: the
// next state shares its slices, and appends to them or begins new ones, but
// writes no element that this one has.
type state struct {
	owner   *owner // nil: the disk is new
	log     codec.LogID
	removed codec.Index
	blocks  []*block // the synced view
	tail    []codec.Entry
	view    *bounds // nil: there is no raft view
	hard    codec.HardState
	applied applied
}

// owner is whose ledger it is.
type owner struct {
	group codec.GroupID
	peer  codec.PeerID
	salt  [16]byte
}

// bounds are where the raft view and its tail begin, in blocks: Raft sees blocks
// [hidden, sealed) and the tail.
type bounds struct{ hidden, sealed int }

// applied is raft-applied with the configuration there.
type applied struct {
	index  codec.Index
	config codec.Configuration
}

// batch is what one write puts in the place of what was there; nil stays.
type batch struct {
	owner   *owner
	log     *codec.LogID
	removed *codec.Index
	blocks  *[]*block
	tail    *[]codec.Entry
	view    *bounds
	hard    *codec.HardState
	applied *applied
}

func (s state) with(b batch) state {
	if b.owner != nil {
		s.owner = b.owner
	}
	if b.log != nil {
		s.log = *b.log
	}
	if b.removed != nil {
		s.removed = *b.removed
	}
	if b.blocks != nil {
		s.blocks = *b.blocks
	}
	if b.tail != nil {
		s.tail = *b.tail
	}
	if b.view != nil {
		s.view = b.view
	}
	if b.hard != nil {
		s.hard = *b.hard
	}
	if b.applied != nil {
		s.applied = *b.applied
	}
	return s
}

// records are b's records as batches of their own; at least one batch.
func (b batch) records() []batch {
	var out []batch
	add := func(there bool, r batch) {
		if there {
			out = append(out, r)
		}
	}
	add(b.owner != nil, batch{owner: b.owner})
	add(b.log != nil, batch{log: b.log})
	add(b.removed != nil, batch{removed: b.removed})
	add(b.blocks != nil, batch{blocks: b.blocks})
	add(b.view != nil, batch{view: b.view})
	add(b.tail != nil, batch{tail: b.tail})
	add(b.hard != nil, batch{hard: b.hard})
	add(b.applied != nil, batch{applied: b.applied})
	if out == nil {
		out = []batch{{}}
	}
	return out
}

// clipped is s with slices that grow elsewhere, not over what other states hold.
func (s state) clipped() state {
	s.blocks, s.tail = s.blocks[:len(s.blocks):len(s.blocks)], s.tail[:len(s.tail):len(s.tail)]
	return s
}

// end is the position of the last entry of the first n blocks.
func (s *state) end(n int) codec.Cursor {
	if n == 0 {
		return codec.Cursor{}
	}
	return s.blocks[n-1].end()
}

// configAt is the configuration after the first n blocks.
func (s *state) configAt(n int) codec.Configuration {
	if n == 0 {
		return codec.Configuration{}
	}
	return s.blocks[n-1].config
}

func (s *state) head() codec.Head {
	h := codec.Head{Blocks: uint64(len(s.blocks)), Last: s.end(len(s.blocks)).Index, Root: codec.EmptyRoot()}
	if len(s.blocks) > 0 {
		h.Root = s.blocks[len(s.blocks)-1].root
	}
	return h
}

// prev is just before the first entry that Raft sees.
func (s *state) prev() codec.Cursor {
	if s.view == nil {
		return codec.Cursor{}
	}
	return s.end(s.view.hidden)
}

// sealed is the end of the last block that Raft sealed.
func (s *state) sealed() codec.Cursor {
	if s.view == nil {
		return codec.Cursor{}
	}
	return s.end(s.view.sealed)
}

// last is the last entry that Raft sees, or what is before its first.
func (s *state) last() codec.Cursor {
	if n := len(s.tail); n > 0 {
		return s.tail[n-1].Cursor()
	}
	return s.sealed()
}

// term is the term of entry i of the raft view, which must be in [prev, last].
func (s *state) term(i codec.Index) codec.Term {
	sealed := s.sealed()
	switch {
	case i > sealed.Index:
		return s.tail[i-sealed.Index-1].Term
	case i == sealed.Index:
		return sealed.Term
	case i == 0:
		return 0
	}
	b := s.blocks[s.blockOf(i)]
	return b.entries[i-b.first()].Term
}

// check says what of a state found on a disk contradicts the rest: what Open of
// the real ledger finds.
func (s *state) check() error {
	if s.view == nil {
		return nil
	}
	if s.view.sealed > len(s.blocks) {
		return damage(s.end(len(s.blocks)).Index+1, "Raft sealed %d blocks, but there are %d", s.view.sealed, len(s.blocks))
	}
	at := s.sealed()
	for _, e := range s.tail {
		if e.Index != at.Index+1 || e.Term < at.Term || e.Term == 0 {
			return damage(at.Index+1, "the tail goes on at %v behind %v", e.Cursor(), at)
		}
		at = e.Cursor()
	}
	switch h, prev, sealed := s.hard, s.prev().Index, s.sealed().Index; {
	case h.Commit > at.Index:
		return damage(at.Index+1, "entries to index %d are committed, but the last one here is %d", h.Commit, at.Index)
	case sealed > h.Commit:
		return damage(h.Commit+1, "blocks are sealed to index %d, but only %d is committed", sealed, h.Commit)
	case s.applied.index > h.Commit || s.applied.index < prev || prev > sealed:
		return damage(prev, "raft-applied %d is not in [%d, %d]", s.applied.index, prev, h.Commit)
	case at.Term > h.Term:
		return damage(at.Index, "the last entry has term %d, but the current term is %d", at.Term, h.Term)
	}
	if c := s.applied.config; s.isNamed(c) && c.Log != s.log {
		return damage(c.Index, "the log id is %v, but this node is a member in log %v", s.log, c.Log)
	}
	return nil
}

func damage(at codec.Index, format string, args ...any) error {
	return &ledger.DamageError{What: fmt.Sprintf(format, args...), Index: at}
}
