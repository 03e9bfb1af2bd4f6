package codec

import (
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/zeebo/blake3"
)

// Leaf is a block's leaf in the block tree: BLAKE3-256(0x00 ‖ block), where
// block is the canonical encoding.
func Leaf(block []byte) Hash {
	h := blake3.New()
	_, _ = h.Write([]byte{domainLeaf})
	_, _ = h.Write(block)
	var out Hash
	h.Sum(out[:0])
	return out
}

// Node is an inner node of the block tree: BLAKE3-256(0x01 ‖ left ‖ right).
func Node(left, right Hash) Hash {
	var in [65]byte
	in[0] = domainNode
	copy(in[1:], left[:])
	copy(in[33:], right[:])
	return blake3.Sum256(in[:])
}

// EmptyRoot is the root of a tree without blocks: BLAKE3-256 of nothing, as in
// RFC 6962 §2.1.
func EmptyRoot() Hash { return blake3.Sum256(nil) }

// Head says how far a log's blocks go: equal heads, equal log prefix.
type Head struct {
	_      struct{} `cbor:",toarray"`
	Blocks uint64   // how many blocks
	Last   Index    // the last index in them; 0 when there are none
	Root   Hash     // root of the block tree over them
}

func (h Head) String() string {
	return fmt.Sprintf("%d blocks to index %d, root %s", h.Blocks, h.Last, h.Root.Short())
}

var treeFactory = compact.RangeFactory{Hash: func(l, r []byte) []byte {
	h := Node(Hash(l), Hash(r))
	return h[:]
}}

// Tree is the block tree in RFC 6962's shape, kept as its frontier: the roots
// of the perfect subtrees that cover its leaves, from left to right.
type Tree struct{ r *compact.Range }

// NewTree is the empty tree.
func NewTree() *Tree { return &Tree{treeFactory.NewEmptyRange(0)} }

// TreeFrom is the tree of size leaves with the given frontier, as Frontier gave it.
func TreeFrom(size uint64, frontier []Hash) (*Tree, error) {
	r, err := treeFactory.NewRange(0, size, toSlices(frontier))
	if err != nil {
		return nil, fmt.Errorf("frontier of a tree of %d blocks: %w", size, err)
	}
	return &Tree{r}, nil
}

// Size is the number of leaves.
func (t *Tree) Size() uint64 { return t.r.End() }

// Append adds a leaf. Every perfect subtree that is thereby complete, the leaf
// itself included, is shown to visit (which may be nil) by level and by its
// number within the level; levels count from 0 at the leaves.
func (t *Tree) Append(leaf Hash, visit func(level uint, number uint64, node Hash)) {
	var see compact.VisitFn
	if visit != nil {
		see = func(id compact.NodeID, hash []byte) { visit(id.Level, id.Index, Hash(hash)) }
	}
	if err := t.r.Append(leaf[:], see); err != nil {
		panic("block tree: " + err.Error()) // Append has no failing input
	}
}

// Root is the root over all leaves.
func (t *Tree) Root() Hash {
	if t.Size() == 0 {
		return EmptyRoot()
	}
	root, err := t.r.GetRootHash(nil)
	if err != nil {
		panic("block tree: " + err.Error()) // the range begins at 0
	}
	return Hash(root)
}

// Frontier is a copy of the roots of the perfect subtrees, from left to right.
func (t *Tree) Frontier() []Hash { return fromSlices(t.r.Hashes()) }

// Clone is an independent copy.
func (t *Tree) Clone() *Tree {
	c, err := TreeFrom(t.Size(), t.Frontier())
	if err != nil {
		panic("block tree: " + err.Error()) // its own frontier fits
	}
	return c
}

// RangeNodes lists the nodes, as (level, number), whose roots make up the
// compact range of leaves [from, to).
func RangeNodes(from, to uint64) []TreeNode {
	ids := compact.RangeNodes(from, to, nil)
	out := make([]TreeNode, len(ids))
	for i, id := range ids {
		out[i] = TreeNode{Level: id.Level, Number: id.Index}
	}
	return out
}

// TreeNode names a perfect subtree: Number counts within Level.
type TreeNode struct {
	Level  uint
	Number uint64
}

// RootOf is the root of a tree of size leaves of which the frontier is given,
// or an error if the number of hashes does not fit.
func RootOf(size uint64, frontier []Hash) (Hash, error) {
	t, err := TreeFrom(size, frontier)
	if err != nil {
		return Hash{}, err
	}
	return t.Root(), nil
}

// ProvedRoot is the root over [0, n) of the tree in which the leaves of
// [first, first+len(leaves)) stand between the compact ranges left, over
// [0, first), and right, over [first+len(leaves), n). Comparing it with an
// agreed root proves the leaves.
func ProvedRoot(n, first uint64, left, leaves, right []Hash) (Hash, error) {
	mid := first + uint64(len(leaves))
	if mid < first || mid > n || len(leaves) == 0 {
		return Hash{}, fmt.Errorf("%d leaves from %d in a tree of %d", len(leaves), first, n)
	}
	// AppendRange writes into the array of its receiver: toSlices gives fresh ones.
	all, err := treeFactory.NewRange(0, first, toSlices(left))
	if err != nil {
		return Hash{}, fmt.Errorf("left of the leaves: %w", err)
	}
	for _, leaf := range toSlices(leaves) {
		if err := all.Append(leaf, nil); err != nil {
			return Hash{}, err
		}
	}
	rest, err := treeFactory.NewRange(mid, n, toSlices(right))
	if err != nil {
		return Hash{}, fmt.Errorf("right of the leaves: %w", err)
	}
	if err := all.AppendRange(rest, nil); err != nil {
		return Hash{}, err
	}
	root, err := all.GetRootHash(nil)
	if err != nil {
		return Hash{}, err
	}
	return Hash(root), nil
}

// toSlices copies hashes, so that the tree shares no memory with its caller.
func toSlices(hashes []Hash) [][]byte {
	own := slices.Clone(hashes)
	out := make([][]byte, len(own))
	for i := range own {
		out[i] = own[i][:]
	}
	return out
}

func fromSlices(hashes [][]byte) []Hash {
	out := make([]Hash, len(hashes))
	for i, h := range hashes {
		out[i] = Hash(h)
	}
	return out
}
