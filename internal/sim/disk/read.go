package disk

import (
	"fmt"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Entries are entries [lo, hi) of the raft view for Raft: as many as fit in
// maxBytes of data, but at least one. The error is codec.ErrCompacted below
// FirstIndex and codec.ErrUnavailable above LastIndex.
func (l *Ledger) Entries(lo, hi codec.Index, maxBytes uint64) ([]codec.Entry, error) {
	switch s := &l.now; {
	case lo <= s.prev().Index:
		return nil, codec.ErrCompacted
	case hi > s.last().Index+1:
		return nil, codec.ErrUnavailable
	case lo >= hi:
		return nil, nil
	default:
		return l.collect(lo, hi-1, s.sealed().Index, maxBytes)
	}
}

// Read is for replay: entries [from, to], from blocks as far as there are blocks,
// else from the tail; as many as fit in maxBytes of data, but at least one.
// Nothing is read that is not decided: to must be at most the greater of the
// commit index and the end of the blocks, else the error is codec.ErrUnavailable.
func (l *Ledger) Read(from, to codec.Index, maxBytes int) ([]codec.Entry, error) {
	if from == 0 || from > to {
		return nil, fmt.Errorf("disk: read entries %d to %d", from, to)
	}
	s, h := &l.now, &l.disk.Hooks
	blocks := s.end(len(s.blocks)).Index
	decided := max(s.hard.Commit, blocks)
	if h.ReadUndecided {
		decided = max(decided, s.last().Index)
	}
	if to > decided {
		return nil, codec.ErrUnavailable
	}
	if h.ReadTailFirst && to <= s.last().Index {
		blocks = s.sealed().Index
	}
	return l.collect(from, to, blocks, uint64(max(maxBytes, 0)))
}

// collect is entries [from, to], those to index blocks from blocks and the others
// from the tail: as many as fit in maxBytes of data, but at least one.
func (l *Ledger) collect(from, to, blocks codec.Index, maxBytes uint64) ([]codec.Entry, error) {
	if from <= blocks && l.closed {
		return nil, ledger.ErrClosed
	}
	s := &l.now
	var out []codec.Entry
	var b *block
	for i := from; i <= to; i++ {
		var e codec.Entry
		if i > blocks {
			e = s.tail[i-s.sealed().Index-1]
		} else {
			if b == nil || i > b.end().Index {
				b = s.blocks[s.blockOf(i)]
			}
			e = b.entries[i-b.first()]
		}
		size := uint64(len(e.Data))
		if size > maxBytes && len(out) > 0 {
			break
		}
		maxBytes -= min(maxBytes, size) // an entry without data fits where nothing else does
		out = append(out, e)
	}
	return out, nil
}
