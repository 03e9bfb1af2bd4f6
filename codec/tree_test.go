package codec

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// obviousRoot is the tree hash as RFC 6962 §2.1 defines it, with our hashes.
func obviousRoot(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return EmptyRoot()
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return Node(obviousRoot(leaves[:k]), obviousRoot(leaves[k:]))
}

func someLeaves(n int) []Hash {
	out := make([]Hash, n)
	for i := range out {
		out[i] = Leaf([]byte(fmt.Sprint("block ", i)))
	}
	return out
}

func TestTreeEqualsObvious(t *testing.T) {
	leaves := someLeaves(300)
	tree := NewTree()
	seen := map[TreeNode]bool{}
	for n := range leaves {
		require.Equal(t, uint64(n), tree.Size())
		require.Equal(t, obviousRoot(leaves[:n]), tree.Root(), "%d leaves", n)
		root, err := RootOf(uint64(n), tree.Frontier())
		require.NoError(t, err)
		require.Equal(t, tree.Root(), root)
		tree.Append(leaves[n], func(level uint, number uint64, node Hash) {
			id := TreeNode{level, number}
			require.False(t, seen[id], "%v twice", id)
			seen[id] = true
			from, to := number<<level, (number+1)<<level
			require.Equal(t, uint64(n+1), to, "a node that is not complete just now")
			require.Equal(t, obviousRoot(leaves[from:to]), node)
		})
	}
	complete := 0
	for width := 1; width <= len(leaves); width *= 2 {
		complete += len(leaves) / width
	}
	require.Len(t, seen, complete)
}

// rangeOf is the compact range of leaves [from, to), by RangeNodes and the
// obvious root of each node.
func rangeOf(leaves []Hash, from, to int) []Hash {
	out := []Hash{}
	for _, n := range RangeNodes(uint64(from), uint64(to)) {
		out = append(out, obviousRoot(leaves[n.Number<<n.Level:(n.Number+1)<<n.Level]))
	}
	return out
}

func TestRangeNodesAreTheFrontier(t *testing.T) {
	leaves := someLeaves(130)
	tree := NewTree()
	for n := range leaves {
		require.Equal(t, rangeOf(leaves, 0, n), tree.Frontier())
		tree.Append(leaves[n], nil)
	}
}

// Left ‖ leaves ‖ right of any part of any tree give its root, and the slices
// that were given stay as they were.
func TestProvedRoot(t *testing.T) {
	all := someLeaves(200)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, len(all)).Draw(t, "n")
		first := rapid.IntRange(0, n-1).Draw(t, "first")
		end := rapid.IntRange(first+1, n).Draw(t, "end")
		left, right := rangeOf(all, 0, first), rangeOf(all, end, n)
		root, err := ProvedRoot(uint64(n), uint64(first), left, all[first:end], right)
		require.NoError(t, err)
		require.Equal(t, obviousRoot(all[:n]), root)
		require.Equal(t, rangeOf(all, 0, first), left)
		require.Equal(t, rangeOf(all, end, n), right)
	})
	require.Equal(t, someLeaves(200), all)
}

// One wrong hash anywhere gives another root; a hash too many or too few, and
// parts that do not fit the tree, are errors.
func TestProvedRootOfWrongParts(t *testing.T) {
	all := someLeaves(70)
	const n, first, end = 70, 32, 64
	parts := func() (l, m, r []Hash) { return rangeOf(all, 0, first), all[first:end:end], rangeOf(all, end, n) }
	want := obviousRoot(all)
	for part := range 3 {
		l, m, r := parts()
		for i := range [][]Hash{l, m, r}[part] {
			l, m, r := parts()
			m = append([]Hash(nil), m...)
			[][]Hash{l, m, r}[part][i][31] ^= 1
			root, err := ProvedRoot(n, first, l, m, r)
			require.NoError(t, err)
			require.NotEqual(t, want, root, "part %d hash %d", part, i)
		}
		for _, change := range []func([]Hash) []Hash{
			func(h []Hash) []Hash { return append(h[:len(h):len(h)], hashOf(9)) },
			func(h []Hash) []Hash { return h[1:] },
		} {
			three := [][]Hash{l, m, r}
			three[part] = change(three[part])
			root, err := ProvedRoot(n, first, three[0], three[1], three[2])
			require.True(t, err != nil || root != want, "part %d", part)
			if part != 1 {
				require.Error(t, err, "part %d", part)
			}
		}
	}
	l, m, r := parts()
	for name, err := range map[string]error{
		"no leaves":       second(ProvedRoot(n, first, l, nil, rangeOf(all, first, n))),
		"beyond the tree": second(ProvedRoot(40, first, l, m, nil)),
		"overflow":        second(ProvedRoot(n, 1<<64-5, make([]Hash, 63), m, rangeOf(all, 27, n))),
		"another first":   second(ProvedRoot(n, first+1, l, m, r)),
		"another size":    second(ProvedRoot(n+1, first, l, m, r)),
		"shorter tree":    second(ProvedRoot(0, 0, nil, m[:1], nil)),
	} {
		require.Error(t, err, name)
	}
}

func second[T any](_ T, err error) error { return err }

func TestTreeFromRefuses(t *testing.T) {
	for _, c := range []struct {
		size   uint64
		hashes int
	}{{0, 1}, {1, 0}, {3, 1}, {3, 3}, {1<<64 - 1, 63}} {
		_, err := TreeFrom(c.size, make([]Hash, c.hashes))
		require.Error(t, err, "%d leaves, %d hashes", c.size, c.hashes)
		_, err = RootOf(c.size, make([]Hash, c.hashes))
		require.Error(t, err)
	}
}

func TestTreeCloneIsIndependent(t *testing.T) {
	leaves := someLeaves(40)
	tree := NewTree()
	for _, leaf := range leaves[:21] {
		tree.Append(leaf, nil)
	}
	clone := tree.Clone()
	frontier := clone.Frontier()
	frontier[0][0] ^= 1
	for _, leaf := range leaves[21:] {
		tree.Append(leaf, nil)
	}
	require.Equal(t, obviousRoot(leaves), tree.Root())
	require.Equal(t, obviousRoot(leaves[:21]), clone.Root())
	for range 19 {
		clone.Append(hashOf(1), nil)
	}
	frontier = tree.Frontier()
	again, err := TreeFrom(40, frontier)
	require.NoError(t, err)
	frontier[0][0] ^= 1
	require.Equal(t, obviousRoot(leaves), again.Root(), "TreeFrom keeps its caller's slice")
	require.Equal(t, obviousRoot(leaves), tree.Root())
}

func BenchmarkProvedRoot(b *testing.B) {
	all := someLeaves(1000)
	left, right := rangeOf(all, 0, 512), rangeOf(all, 544, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ProvedRoot(1000, 512, left, all[512:544], right); err != nil {
			b.Fatal(err)
		}
	}
}
