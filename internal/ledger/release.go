package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// Block is a block as Release takes it.
type Block struct {
	Data    []byte        // its canonical encoding
	Leaf    codec.Hash    // codec.Leaf of Data
	Entries []codec.Entry // what codec.DecodeBlock makes of Data
}

// DecodeBlock is the Block that is encoded in data and has that leaf. Its entries
// are views of data. The error wraps codec.ErrBlock.
func DecodeBlock(data []byte, leaf codec.Hash) (Block, error) {
	entries, err := decodeEntries(data)
	return Block{Data: data, Leaf: leaf, Entries: entries}, err
}

// Release is ReleaseBlocks of encoded blocks.
func (l *Ledger) Release(first uint64, blocks [][]byte) error {
	decoded := make([]Block, len(blocks))
	for i, data := range blocks {
		var err error
		if decoded[i], err = DecodeBlock(data, codec.Leaf(data)); err != nil {
			return fmt.Errorf("ledger: release: block %d: %w", first+uint64(i), err)
		}
	}
	return l.ReleaseBlocks(first, decoded)
}

// ReleaseBlocks appends blocks, of which the first has number first, to the synced
// view. All of them are durable when it returns, or none is there: they count with
// the head, which is one synced write. They must continue the log. That they are
// the right ones is for the caller to have proved.
func (l *Ledger) ReleaseBlocks(first uint64, blocks []Block) error {
	if len(blocks) == 0 {
		return nil
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if first != l.synced.blocks {
		return fmt.Errorf("ledger: block %d released, %d is next", first, l.synced.blocks)
	}
	b := l.store.db.NewBatch()
	x := l.extend(b)
	if err := putRelease(x, blocks); err != nil {
		return errors.Join(fmt.Errorf("ledger: release: %w", err), b.Close())
	}
	if err := l.storeBlocks(b, first, blocks); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, true); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = x.view
	return nil
}

// putRelease puts what follows from blocks, and the new head.
func putRelease(x *extension, blocks []Block) error {
	for i := range blocks {
		if err := x.place(blocks[i].Data, blocks[i].Leaf, blocks[i].Entries); err != nil {
			return err
		}
	}
	return x.finish()
}

// storeBlocks stores the blocks' own records: many in a table, few in b.
func (l *Ledger) storeBlocks(b *pebble.Batch, first uint64, blocks []Block) error {
	size := 0
	for i := range blocks {
		size += len(blocks[i].Data)
	}
	if size >= l.opts.BulkBytes {
		if err := l.writable(); err != nil {
			return err
		}
		return l.store.ingest(first, blocks)
	}
	for i := range blocks {
		if err := b.Set(numbered(prefixBlock, first+uint64(i)), blocks[i].Data, nil); err != nil {
			return err
		}
	}
	return nil
}

// Drop takes the synced view back to blocks blocks: the rest of a sync session
// whose result turned out wrong. It is durable when Drop returns. Blocks that the
// raft view sealed cannot be dropped.
func (l *Ledger) Drop(blocks uint64) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	if blocks == l.synced.blocks {
		return nil
	}
	if blocks > l.synced.blocks || l.raft.exists && blocks < l.raft.blocks {
		return fmt.Errorf("ledger: back to %d blocks: there are %d, and Raft needs %d", blocks, l.synced.blocks, l.raft.blocks)
	}
	view, err := l.store.syncedAt(blocks)
	if err != nil {
		return err
	}
	b := l.store.db.NewBatch()
	err = errors.Join(putDrop(b, blocks, view.last.Index), set(b, single(prefixHead), headBody(view.last, view.head())))
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, true); err != nil {
		return err
	}
	l.cache.drop(blocks)
	l.mu.Lock()
	l.synced = view
	l.mu.Unlock()
	return nil
}

// syncedAt is the synced view of the first blocks blocks.
func (s *store) syncedAt(blocks uint64) (syncedView, error) {
	if blocks == 0 {
		return emptySynced(), nil
	}
	frontier, err := s.nodes(codec.RangeNodes(0, blocks))
	if err != nil {
		return syncedView{}, err
	}
	v := syncedView{blocks: blocks}
	if v.tree, err = codec.TreeFrom(blocks, frontier); err != nil {
		return v, err
	}
	v.root = v.tree.Root()
	if v.last, err = s.endOf(blocks - 1); err != nil {
		return v, err
	}
	v.config, err = s.configAt(blocks)
	return v, err
}

// treeLevels bounds the levels of a block tree.
const treeLevels = 57

// putDrop deletes everything of blocks at and above blocks, the first of which
// would begin behind last.
func putDrop(b *pebble.Batch, blocks uint64, last codec.Index) error {
	err := errors.Join(
		b.DeleteRange(numbered(prefixBlock, blocks), after(prefixBlock), nil),
		b.DeleteRange(numbered(prefixSpan, blocks), after(prefixSpan), nil),
		b.DeleteRange(numbered(prefixFirst, last+1), after(prefixFirst), nil),
		b.DeleteRange(numbered(prefixConfig, blocks+1), after(prefixConfig), nil),
	)
	for level := range uint(treeLevels) {
		from := nodeKey(codec.TreeNode{Level: level, Number: blocks >> level})
		to := []byte{prefixNode, byte(level + 1)}
		err = errors.Join(err, b.DeleteRange(from, to, nil))
	}
	return err
}
