package disk

import (
	"fmt"
	"slices"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Seal turns every whole block of the tail whose last entry is at or below commit
// into a block, and returns how many there were. Each is one write, not synced. A
// block that catch-up stored already must be the same, else the error is a
// *ledger.DivergenceError and nothing is written any more.
func (l *Ledger) Seal(commit codec.Index) (blocks int, err error) {
	switch {
	case l.closed:
		return 0, ledger.ErrClosed
	case l.now.view == nil:
		return 0, ledger.ErrNoRaftView
	case commit > l.now.last().Index:
		return 0, fmt.Errorf("disk: seal to index %d, %d is the last", commit, l.now.last().Index)
	}
	for {
		n := wholeBlock(l.now.tail, commit)
		if n == 0 {
			return blocks, nil
		}
		if err := l.seal(l.now.tail[:n:n]); err != nil {
			return blocks, err
		}
		blocks++
	}
}

// wholeBlock is how many entries at the front of tail are one whole block that
// ends at or below commit; 0 if there is none.
func wholeBlock(tail []codec.Entry, commit codec.Index) int {
	var fill codec.BlockFill
	for i, e := range tail {
		if e.Index > commit {
			return 0
		}
		if fill.Add(len(e.Data)) {
			return i + 1
		}
	}
	return 0
}

// seal makes a block of entries, the front of the tail.
func (l *Ledger) seal(entries []codec.Entry) error {
	s := &l.now
	data, err := codec.AppendBlock(nil, entries)
	if err != nil {
		return fmt.Errorf("disk: seal: %w", err)
	}
	var b batch
	number, end := s.view.sealed, entries[len(entries)-1].Index
	if number == len(s.blocks) {
		blocks, err := extend(s.blocks, data, entries, l.fold)
		if err != nil {
			return fmt.Errorf("disk: seal: %w", err)
		}
		b.blocks = &blocks
	} else if ours, theirs := s.blocks[number].leaf(), codec.Leaf(data); ours != theirs && !l.disk.Hooks.SealUnchecked {
		l.diverged = &ledger.DivergenceError{What: fmt.Sprintf("block %d", number), Index: end, Ours: ours.Short(), Theirs: theirs.Short()}
		return l.diverged
	}
	tail, hard := s.tail[len(entries):], s.hard
	hard.Commit = max(hard.Commit, end)
	b.tail, b.hard = &tail, &hard
	b.view = &bounds{hidden: s.view.hidden, sealed: number + 1}
	return l.write(OnSeal, b, false)
}

// Release appends blocks, of which the first has number first, to the synced
// view: durably and all at once. That they are the right ones is for the caller to
// have proved.
func (l *Ledger) Release(first uint64, blocks [][]byte) error {
	if len(blocks) == 0 {
		return nil
	}
	if l.closed {
		return ledger.ErrClosed
	}
	if first != uint64(len(l.now.blocks)) {
		return fmt.Errorf("disk: block %d released, %d is next", first, len(l.now.blocks))
	}
	var b batch
	next := l.now.blocks
	for _, data := range blocks {
		data = slices.Clone(data) // its entries are views of it
		var block codec.Block
		err := codec.DecodeBlock(data, &block)
		if err == nil {
			next, err = extend(next, data, block.Entries(), l.fold)
		}
		if err != nil {
			return fmt.Errorf("disk: release: %w", err)
		}
	}
	b.blocks = &next
	return l.write(OnRelease, b, true)
}

// Drop takes the synced view back to blocks blocks, durably. Blocks that the raft
// view sealed cannot be dropped.
func (l *Ledger) Drop(blocks uint64) error {
	s := &l.now
	have := uint64(len(s.blocks))
	switch {
	case l.closed:
		return ledger.ErrClosed
	case blocks == have:
		return nil
	case blocks > have || s.view != nil && blocks < uint64(s.view.sealed):
		return fmt.Errorf("disk: back to %d blocks: there are %d, and Raft may need them", blocks, have)
	}
	rest := s.blocks[:blocks:blocks]
	return l.write(OnDrop, batch{blocks: &rest}, true)
}

// Head says how far the blocks go.
func (l *Ledger) Head() codec.Head { return l.now.head() }

// HeadCursor is the position of the last entry in a block; zero if there is none.
func (l *Ledger) HeadCursor() codec.Cursor { return l.now.end(len(l.now.blocks)) }

// HeadConfig is the configuration at HeadCursor.
func (l *Ledger) HeadConfig() codec.Configuration { return l.now.configAt(len(l.now.blocks)) }

// RootAt is the root of the block tree over the first blocks blocks, or
// codec.ErrUnavailable if there are not so many.
func (l *Ledger) RootAt(blocks uint64) (codec.Hash, error) {
	if head := l.Head(); blocks == head.Blocks {
		return head.Root, nil
	}
	if err := l.may(blocks <= uint64(len(l.now.blocks))); err != nil {
		return codec.Hash{}, err
	}
	return rootOver(l.now.blocks[:blocks]), nil
}

// Leaves are the leaves of blocks [from, to), or codec.ErrUnavailable.
func (l *Ledger) Leaves(from, to uint64) ([]codec.Hash, error) {
	if err := l.may(from <= to && to <= uint64(len(l.now.blocks))); err != nil {
		return nil, err
	}
	out := make([]codec.Hash, 0, to-from)
	for _, b := range l.now.blocks[from:to] {
		out = append(out, b.leaf())
	}
	return out, nil
}

// Range is the compact range of blocks [from, to): the roots of the perfect
// subtrees that cover them, from left to right; or codec.ErrUnavailable.
func (l *Ledger) Range(from, to uint64) ([]codec.Hash, error) {
	if err := l.may(from <= to && to <= uint64(len(l.now.blocks))); err != nil {
		return nil, err
	}
	return compactRange(l.now.blocks, from, to), nil
}

// Block is the encoding of a block, which the caller owns, or
// codec.ErrUnavailable.
func (l *Ledger) Block(number uint64) ([]byte, error) {
	if err := l.may(number < uint64(len(l.now.blocks))); err != nil {
		return nil, err
	}
	return slices.Clone(l.now.blocks[number].data), nil
}

// BlockOf finds the block that holds entry i, and its first index. The error is
// codec.ErrUnavailable if no block holds it.
func (l *Ledger) BlockOf(i codec.Index) (number uint64, first codec.Index, err error) {
	if err := l.may(i != 0 && i <= l.HeadCursor().Index); err != nil {
		return 0, 0, err
	}
	n := l.now.blockOf(i)
	return uint64(n), l.now.blocks[n].first(), nil
}

// may is the error of a read of blocks, which are here or not.
func (l *Ledger) may(here bool) error {
	switch {
	case !here:
		return codec.ErrUnavailable
	case l.closed:
		return ledger.ErrClosed
	}
	return nil
}
