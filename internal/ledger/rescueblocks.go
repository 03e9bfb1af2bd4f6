package ledger

import (
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
)

// blocks copies every block that can be read and says which are missing.
//
// A leaf has no checksum of its own, so of a block and a leaf that differ either
// may be damaged. The root in the head decides: over the hashes of all the
// blocks (then every block is right, whatever the leaves say), or over all the
// leaves (then these are right, and prove what is fetched). If neither gives the
// root, because some blocks are lost with their leaves, what is fetched for these
// is proved by the root when all are here.
func (r *rescue) blocks() (g gaps, err error) {
	made := make([]codec.Hash, r.head.Blocks)   // of the blocks; zero: not readable
	stored := make([]codec.Hash, r.head.Blocks) // as they were stored; zero: not readable
	for n := range r.head.Blocks {
		if made[n], err = r.block(n); err != nil {
			return g, err
		}
		if leaf, err := r.from.nodes([]codec.TreeNode{{Number: n}}); err == nil {
			stored[n] = leaf[0]
		}
	}
	g.open = true
	if r.head.Blocks == 0 || rootOf(made) == r.head.Root {
		return g, nil
	}
	leaves := make([]codec.Hash, r.head.Blocks)
	for n := range leaves {
		if leaves[n] = stored[n]; leaves[n].IsZero() {
			leaves[n] = made[n]
		}
	}
	proved := rootOf(leaves) == r.head.Root
	for n := range r.head.Blocks {
		if made[n] == leaves[n] && !made[n].IsZero() {
			continue
		}
		g.missing = g.missing.with(n)
		if leaves[n].IsZero() {
			g.unproved = g.unproved.with(n)
		}
		if err := r.hole(n, leaves[n]); err != nil {
			return g, err
		}
	}
	if !proved && len(g.unproved) == 0 {
		return g, &DamageError{What: fmt.Sprintf("the root of the %d blocks is not that of the head", r.head.Blocks)}
	}
	return g, nil
}

// rootOf is the root over leaves; zero if one is.
func rootOf(leaves []codec.Hash) codec.Hash {
	t := codec.NewTree()
	for _, leaf := range leaves {
		if leaf.IsZero() {
			return codec.Hash{}
		}
		t.Append(leaf, nil)
	}
	return t.Root()
}

// block copies a block, if it can be read and is one.
func (r *rescue) block(n uint64) (leaf codec.Hash, err error) {
	data, found, err := r.from.get(numbered(prefixBlock, n))
	if err != nil || !found {
		return leaf, nil //nolint:nilerr // missing, for whatever reason
	}
	entries, err := decode(n, data)
	if err != nil {
		return leaf, nil //nolint:nilerr // as above
	}
	if r.batch.Len() > rebuildBatch {
		if err := r.commit(); err != nil {
			return leaf, err
		}
	}
	leaf = codec.Leaf(data)
	return leaf, errors.Join(
		r.batch.Set(numbered(prefixBlock, n), data, nil),
		putPlace(r.batch, n, spanOf(entries, data)),
		r.batch.Set(nodeKey(codec.TreeNode{Number: n}), leaf[:], nil),
	)
}

// hole takes back what block put, and leaves the leaf that the right one has.
func (r *rescue) hole(n uint64, leaf codec.Hash) error {
	key := nodeKey(codec.TreeNode{Number: n})
	err := errors.Join(
		r.batch.Delete(numbered(prefixBlock, n), nil),
		r.batch.Delete(numbered(prefixSpan, n), nil),
		r.batch.Delete(key, nil),
	)
	if err == nil && !leaf.IsZero() {
		err = r.batch.Set(key, leaf[:], nil)
	}
	return err
}
