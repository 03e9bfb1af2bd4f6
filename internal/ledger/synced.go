package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// syncedView is the log as blocks: [0, blocks), with what follows from them.
type syncedView struct {
	blocks uint64
	last   codec.Cursor // end of the last block
	root   codec.Hash
	tree   *codec.Tree         // not changed in place once it is in a Ledger
	config codec.Configuration // at last
}

func emptySynced() syncedView {
	return syncedView{tree: codec.NewTree(), root: codec.EmptyRoot()}
}

func (v *syncedView) head() codec.Head {
	return codec.Head{Blocks: v.blocks, Last: v.last.Index, Root: v.root}
}

// extension is a synced view that grows in a batch.
type extension struct {
	view    syncedView
	batch   *pebble.Batch
	fold    func(codec.Configuration, codec.Entry) (codec.Configuration, error)
	changed bool // whether the last block added changed the configuration
}

// extend begins an extension of the ledger's synced view; syncMu is held.
func (l *Ledger) extend(b *pebble.Batch) *extension {
	x := &extension{view: l.synced, batch: b, fold: l.opts.Fold}
	x.view.tree = l.synced.tree.Clone()
	return x
}

// add puts one block behind the view: data is its encoding, entries what it
// decodes to.
func (x *extension) add(data []byte, leaf codec.Hash, entries []codec.Entry) error {
	if err := x.batch.Set(numbered(prefixBlock, x.view.blocks), data, nil); err != nil {
		return err
	}
	return x.place(data, leaf, entries)
}

// place is add for a block whose own record is there.
func (x *extension) place(data []byte, leaf codec.Hash, entries []codec.Entry) error {
	v, b := &x.view, x.batch
	first, last := entries[0], entries[len(entries)-1]
	if first.Index != v.last.Index+1 || first.Term < v.last.Term {
		return fmt.Errorf("block %d begins at %v, but the one before it ends at %v", v.blocks, first.Cursor(), v.last)
	}
	if err := x.configure(entries); err != nil {
		return err
	}
	number := v.blocks
	err := putPlace(b, number, spanOf(entries, data))
	v.tree.Append(leaf, func(level uint, number uint64, node codec.Hash) {
		err = errors.Join(err, b.Set(nodeKey(codec.TreeNode{Level: level, Number: number}), node[:], nil))
	})
	v.blocks, v.last = number+1, last.Cursor()
	if x.changed {
		body, encodeErr := codec.EncodeConfiguration(v.config)
		err = errors.Join(err, encodeErr, set(b, numbered(prefixConfig, v.blocks), body))
	}
	return err
}

// configure folds the configuration entries among entries.
func (x *extension) configure(entries []codec.Entry) error {
	x.changed = false
	for i := range entries {
		if entries[i].Kind != codec.KindConfig {
			continue
		}
		c, err := x.fold(x.view.config, entries[i])
		if err != nil {
			return fmt.Errorf("configuration entry %v: %w", entries[i].Cursor(), err)
		}
		x.view.config, x.changed = c, true
	}
	return nil
}

// finish puts the head.
func (x *extension) finish() error {
	x.view.root = x.view.tree.Root()
	return set(x.batch, single(prefixHead), headBody(x.view.last, x.view.head()))
}

// Head says how far the blocks go.
func (l *Ledger) Head() codec.Head {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.synced.head()
}

// HeadCursor is the position of the last entry in a block; zero if there is none.
func (l *Ledger) HeadCursor() codec.Cursor {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.synced.last
}

// HeadConfig is the configuration at HeadCursor.
func (l *Ledger) HeadConfig() codec.Configuration {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.synced.config
}

// RootAt is the root of the block tree over the first blocks blocks, or
// codec.ErrUnavailable if there are not so many.
func (l *Ledger) RootAt(blocks uint64) (codec.Hash, error) {
	if head := l.Head(); blocks == head.Blocks {
		return head.Root, nil
	}
	frontier, err := l.Range(0, blocks)
	if err != nil {
		return codec.Hash{}, err
	}
	return codec.RootOf(blocks, frontier)
}

// Leaves are the leaves of blocks [from, to), or codec.ErrUnavailable.
func (l *Ledger) Leaves(from, to uint64) ([]codec.Hash, error) {
	if from > to || to > l.treeSize() {
		return nil, codec.ErrUnavailable
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	out, err := l.store.leaves(from, to)
	l.note(err)
	return out, err
}

func (s *store) leaves(from, to uint64) (out []codec.Hash, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: nodeKey(codec.TreeNode{Number: from}), UpperBound: nodeKey(codec.TreeNode{Number: to}),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	out = make([]codec.Hash, 0, to-from)
	for ok := it.First(); ok; ok = it.Next() {
		want := codec.TreeNode{Number: from + uint64(len(out))}
		if value := it.Value(); bytes.Equal(it.Key(), nodeKey(want)) && len(value) == len(codec.Hash{}) {
			out = append(out, codec.Hash(value))
			continue
		}
		break
	}
	if missing := from + uint64(len(out)); missing < to {
		return nil, s.damaged(fmt.Sprintf("leaf %d of the block tree", missing), missing, it.Error())
	}
	return out, nil
}

// Range is the compact range of blocks [from, to): the roots of the perfect
// subtrees that cover them, from left to right; or codec.ErrUnavailable.
func (l *Ledger) Range(from, to uint64) ([]codec.Hash, error) {
	if from > to || to > l.treeSize() {
		return nil, codec.ErrUnavailable
	}
	return l.nodes(codec.RangeNodes(from, to))
}

// treeSize is how many blocks the tree is over; none while there are gaps.
func (l *Ledger) treeSize() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.gaps.open {
		return 0
	}
	return l.synced.blocks
}

func (l *Ledger) nodes(want []codec.TreeNode) ([]codec.Hash, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	out, err := l.store.nodes(want)
	l.note(err)
	return out, err
}

func (s *store) nodes(want []codec.TreeNode) ([]codec.Hash, error) {
	out := make([]codec.Hash, len(want))
	for i, n := range want {
		value, found, err := s.get(nodeKey(n))
		if err == nil && found && len(value) != len(out[i]) {
			err = errSize
		}
		if err != nil || !found {
			return nil, s.damaged(fmt.Sprintf("node %d of level %d of the block tree", n.Number, n.Level), n.Number<<n.Level, err)
		}
		out[i] = codec.Hash(value)
	}
	return out, nil
}

// Block is the stored encoding of a block, checked against its leaf; the caller
// owns it. The error is codec.ErrUnavailable if it is not here, or a
// *DamageError.
func (l *Ledger) Block(number uint64) ([]byte, error) {
	if !l.has(number) {
		return nil, codec.ErrUnavailable
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	data, err := l.store.block(number)
	l.note(err)
	return data, err
}

// Encoded is Block without the check against its leaf, for whoever passes it on to
// somebody who proves it: Pebble's own sums find what happened to it on disk.
func (l *Ledger) Encoded(number uint64) ([]byte, error) {
	if !l.has(number) {
		return nil, codec.ErrUnavailable
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	data, err := l.store.encoded(number)
	l.note(err)
	return data, err
}

func (s *store) encoded(number uint64) ([]byte, error) {
	data, found, err := s.get(numbered(prefixBlock, number))
	if err != nil || !found {
		return nil, s.damaged(fmt.Sprintf("block %d", number), number, err)
	}
	return data, nil
}

func (s *store) block(number uint64) ([]byte, error) {
	data, err := s.encoded(number)
	if err != nil {
		return nil, err
	}
	leaf, err := s.nodes([]codec.TreeNode{{Number: number}})
	if err != nil {
		return nil, err
	}
	if codec.Leaf(data) != leaf[0] {
		return nil, s.damaged(fmt.Sprintf("block %d", number), number, errLeaf)
	}
	return data, nil
}

// damaged is a *DamageError for what belongs to a block, with the block's first
// index if that can still be told. A nil cause means that it is missing.
func (s *store) damaged(what string, number uint64, cause error) error {
	if cause == nil {
		cause = errGone
	} else if !isDamage(cause) {
		return fmt.Errorf("read %s: %w", what, cause)
	}
	return &DamageError{What: what, Index: s.begin(number), Cause: cause}
}

// span says where a block that must be there lies.
func (s *store) span(number uint64) (span, error) {
	where, err := s.readSpan(number)
	if err != nil {
		err = s.damaged(fmt.Sprintf("the place of block %d", number), number, err)
	}
	return where, err
}

func (s *store) readSpan(number uint64) (span, error) {
	key := numbered(prefixSpan, number)
	value, found, err := s.get(key)
	if err == nil && !found {
		err = errGone
	}
	if err != nil {
		return span{}, err
	}
	body, err := bodyOf(key, value)
	if err != nil {
		return span{}, err
	}
	return readSpan(body)
}

// begin is the first index of a block, from its own place or that of the one
// before it; 0 if neither can be read.
func (s *store) begin(number uint64) codec.Index {
	if where, err := s.readSpan(number); err == nil {
		return where.first
	}
	if number == 0 {
		return 1
	}
	if where, err := s.readSpan(number - 1); err == nil {
		return where.last.Index + 1
	}
	return 0
}

// endOf is the end of a block that must be there.
func (s *store) endOf(number uint64) (codec.Cursor, error) {
	where, err := s.span(number)
	return where.last, err
}

// BlockOf finds the block that holds entry i, and its first index. The error is
// codec.ErrUnavailable if no block holds it.
func (l *Ledger) BlockOf(i codec.Index) (number uint64, first codec.Index, err error) {
	if i == 0 || i > l.HeadCursor().Index {
		return 0, 0, codec.ErrUnavailable
	}
	if err := l.enter(); err != nil {
		return 0, 0, err
	}
	defer l.leave()
	number, first, err = l.store.blockOf(i)
	l.note(err)
	return number, first, err
}

func (s *store) blockOf(i codec.Index) (number uint64, first codec.Index, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: single(prefixFirst), UpperBound: after(prefixFirst)})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.SeekLT(numbered(prefixFirst, i+1)) {
		if it.Error() != nil {
			return 0, 0, damage("the index of blocks", i, it.Error())
		}
		return 0, 0, codec.ErrUnavailable
	}
	body, err := bodyOf(it.Key(), it.Value())
	if err != nil {
		return 0, 0, damage("the index of blocks", i, err)
	}
	n, err := readNumbers(body, 1)
	if err != nil {
		return 0, 0, damage("the index of blocks", i, err)
	}
	return n[0], codec.Index(numberOf(it.Key())), nil
}

// configAt is the configuration after the first blocks blocks.
func (s *store) configAt(blocks uint64) (c codec.Configuration, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: single(prefixConfig), UpperBound: after(prefixConfig)})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.SeekLT(numbered(prefixConfig, blocks+1)) {
		if it.Error() != nil {
			return c, damage("a configuration", 0, it.Error())
		}
		return c, nil
	}
	body, err := bodyOf(it.Key(), it.Value())
	if err != nil {
		return c, damage("a configuration", 0, err)
	}
	return codec.DecodeConfiguration(slices.Clone(body))
}
