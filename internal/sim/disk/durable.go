package disk

import "github.com/logmesh/logmesh/codec"

// Durable reports whether the ledger would still have the entry at a position if
// the worst crash came now.
func (d *Disk) Durable(at codec.Cursor) bool {
	s := &d.states[0]
	if s.view != nil && at.Index <= s.last().Index && at.Index >= s.prev().Index {
		return s.term(at.Index) == at.Term
	}
	if at.Index == 0 || at.Index > s.end(len(s.blocks)).Index {
		return false
	}
	b := s.blocks[s.blockOf(at.Index)]
	return b.entries[at.Index-b.first()].Term == at.Term
}
