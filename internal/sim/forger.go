package sim

import (
	"bytes"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/sim/disk"
)

// source is what a provider serves from: a ledger, or a forger's other log.
type source interface {
	Head() codec.Head
	RootAt(blocks uint64) (codec.Hash, error)
	Leaves(from, to uint64) ([]codec.Hash, error)
	Range(from, to uint64) ([]codec.Hash, error)
	Block(number uint64) ([]byte, error)
}

// forgery says in what a provider lies.
type forgery uint64

const (
	forgeBlocks forgery = 1 << iota // other blocks, well formed
	forgeLeaves                     // the leaves of the other blocks
	forgeRoots                      // the roots of a tree of these leaves

	forgeEach forgery = 1 << 3 // and above: of the blocks whose number is i modulo 8, bit i
)

// source is what the member serves from now. It lies only while no decided
// configuration had it as a voter: a majority of lying voters is the log, and
// nothing is promised with a lying voter when others are away.
func (p *provider) source() source {
	m := p.m
	if m.forgery == 0 || m.w.everVoter(m.peer) {
		return m.ledger
	}
	return &forger{Ledger: m.ledger, m: m, how: m.forgery}
}

// everVoter reports whether any decided configuration had the peer as a voter.
func (w *World) everVoter(peer codec.PeerID) bool {
	for _, c := range w.decided.configs {
		for _, x := range c.Members {
			if x.Peer == peer && x.Role == codec.RoleVoter {
				return true
			}
		}
	}
	return false
}

// forger is the ledger of a provider that lies: another log of the same length,
// well formed and with a block tree of its own.
type forger struct {
	*disk.Ledger
	m    *member
	how  forgery
	tree map[codec.TreeNode]codec.Hash
}

func (f *forger) Block(number uint64) ([]byte, error) {
	block, err := f.Ledger.Block(number)
	if err != nil || f.how&forgeBlocks == 0 {
		return block, err
	}
	return f.other(number, block), nil
}

// other is the block that stands in the forged log in place of block.
func (f *forger) other(number uint64, block []byte) []byte {
	if f.how&(forgeEach<<(number%8)) == 0 {
		return block
	}
	out := forged(block)
	if !bytes.Equal(out, block) {
		f.m.forged = true
	}
	return out
}

func (f *forger) Head() codec.Head {
	head := f.Ledger.Head()
	if root, err := f.RootAt(head.Blocks); err == nil {
		head.Root = root
	}
	return head
}

func (f *forger) RootAt(blocks uint64) (codec.Hash, error) {
	honest, err := f.Ledger.RootAt(blocks)
	if err != nil || blocks == 0 || f.how&forgeRoots == 0 {
		return honest, err
	}
	return codec.RootOf(blocks, f.nodes(codec.RangeNodes(0, blocks)))
}

func (f *forger) Leaves(from, to uint64) ([]codec.Hash, error) {
	honest, err := f.Ledger.Leaves(from, to)
	if err != nil || f.how&forgeLeaves == 0 {
		return honest, err
	}
	want := make([]codec.TreeNode, 0, to-from)
	for n := from; n < to; n++ {
		want = append(want, codec.TreeNode{Number: n})
	}
	return f.nodes(want), nil
}

func (f *forger) Range(from, to uint64) ([]codec.Hash, error) {
	honest, err := f.Ledger.Range(from, to)
	if err != nil || f.how&forgeLeaves == 0 {
		return honest, err
	}
	return f.nodes(codec.RangeNodes(from, to)), nil
}

// nodes are nodes of the forged tree.
func (f *forger) nodes(want []codec.TreeNode) []codec.Hash {
	if f.tree == nil {
		f.grow()
	}
	out := make([]codec.Hash, len(want))
	for i, n := range want {
		out[i] = f.tree[n]
	}
	return out
}

func (f *forger) grow() {
	f.tree = map[codec.TreeNode]codec.Hash{}
	tree := codec.NewTree()
	for n := range f.Ledger.Head().Blocks {
		block, err := f.Ledger.Block(n)
		if err != nil {
			f.m.w.violate("a ledger lacks a block", "member %d: block %d: %v", f.m.number, n, err)
			return
		}
		tree.Append(codec.Leaf(f.other(n, block)), func(level uint, number uint64, node codec.Hash) {
			f.tree[codec.TreeNode{Level: level, Number: number}] = node
		})
	}
}

// forged is a well-formed block with another command in it; block itself if it
// has none.
func forged(block []byte) []byte {
	var b codec.Block
	if err := codec.DecodeBlock(block, &b); err != nil {
		return block
	}
	entries := append([]codec.Entry{}, b.Entries()...)
	for i := range entries {
		if e := &entries[i]; e.Kind == codec.KindCommand {
			e.Data = bytes.Clone(e.Data)
			e.Data[len(e.Data)-1] ^= 1
			break
		}
	}
	out, err := codec.AppendBlock(nil, entries)
	if err != nil {
		return block
	}
	return out
}
