package disk

import (
	"fmt"
	"slices"
	"sort"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// block is one block of the synced view, with what follows from it and from the
// blocks before it.
type block struct {
	data    []byte
	entries []codec.Entry
	config  codec.Configuration // at its end
	root    codec.Hash          // over the blocks up to and with this one
	// nodes[k] is the root over the 2^k blocks that end with this one, for every k
	// for which they are one perfect subtree of the block tree.
	nodes []codec.Hash
}

func (b *block) first() codec.Index { return b.entries[0].Index }
func (b *block) end() codec.Cursor  { return b.entries[len(b.entries)-1].Cursor() }
func (b *block) leaf() codec.Hash   { return b.nodes[0] }

// extend is blocks and one more behind them, which must continue them; data is
// its encoding.
func extend(blocks []*block, data []byte, entries []codec.Entry, derive ledger.Fold) ([]*block, error) {
	s := state{blocks: blocks}
	before := s.end(len(blocks))
	next := &block{data: data, entries: entries, config: s.configAt(len(blocks))}
	if first := entries[0]; first.Index != before.Index+1 || first.Term < before.Term {
		return nil, fmt.Errorf("block %d begins at %v, but the one before it ends at %v", len(blocks), first.Cursor(), before)
	}
	if err := next.configure(derive); err != nil {
		return nil, err
	}
	next.nodes = []codec.Hash{codec.Leaf(data)}
	for n, k := len(blocks), 0; n&1 == 1; n, k = n>>1, k+1 { // a right child: its parent is complete, too
		left := blocks[len(blocks)-1<<k]
		next.nodes = append(next.nodes, codec.Node(left.nodes[k], next.nodes[k]))
	}
	blocks = append(blocks, next)
	next.root = rootOver(blocks)
	return blocks, nil
}

func (b *block) configure(derive ledger.Fold) (err error) {
	for _, e := range b.entries {
		if e.Kind != codec.KindConfig {
			continue
		}
		if b.config, err = derive(b.config, e); err != nil {
			return fmt.Errorf("configuration entry %v: %w", e.Cursor(), err)
		}
		if _, err := codec.EncodeConfiguration(b.config); err != nil {
			return fmt.Errorf("configuration entry %v: %w", e.Cursor(), err)
		}
	}
	return nil
}

// compactRange is the roots of the perfect subtrees that cover blocks [from, to).
func compactRange(blocks []*block, from, to uint64) []codec.Hash {
	nodes := codec.RangeNodes(from, to)
	out := make([]codec.Hash, len(nodes))
	for i, n := range nodes {
		out[i] = blocks[(n.Number+1)<<n.Level-1].nodes[n.Level]
	}
	return out
}

// rootOver joins the perfect subtrees from right to left (RFC 6962 §2.1).
func rootOver(blocks []*block) codec.Hash {
	if len(blocks) == 0 {
		return codec.EmptyRoot()
	}
	subtrees := compactRange(blocks, 0, uint64(len(blocks)))
	root := subtrees[len(subtrees)-1]
	for _, left := range slices.Backward(subtrees[:len(subtrees)-1]) {
		root = codec.Node(left, root)
	}
	return root
}

// blockOf is the number of the block that holds entry i, which must be in one.
func (s *state) blockOf(i codec.Index) int {
	return sort.Search(len(s.blocks), func(n int) bool { return s.blocks[n].end().Index >= i })
}
