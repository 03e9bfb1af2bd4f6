package catchup

import (
	"errors"
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// proving is a world whose session proves its blocks against the root over
// blocks.
func proving(t *testing.T, blocks uint64) *world {
	w := newWorld(t, Config{Prove: true}, 1)
	w.at(10*time.Millisecond, func() { w.step(w.root(blocks)) })
	return w
}

func wantOut(t *testing.T, w *world, id codec.PeerID) {
	t.Helper()
	var proof *ProofError
	if !errors.As(w.out[id], &proof) {
		t.Errorf("%s is out because of %v", id, w.out[id])
	}
	if len(w.out) != 1 {
		t.Errorf("%d peers are out: %v", len(w.out), w.out)
	}
}

func TestProofNamesALiarAboutBlocks(t *testing.T) {
	w := proving(t, 200)
	w.peer("A", 8*mb, time.Millisecond, 0, 200)
	w.peer("B", 8*mb, time.Millisecond, 0, 200).junk = 0.1
	w.mustFinish(time.Minute)
	wantOut(t, w, "B")
}

func TestProofNamesALiarAboutLeaves(t *testing.T) {
	w := proving(t, 200)
	w.peer("A", 8*mb, time.Millisecond, 0, 200)
	w.peer("B", 8*mb, time.Millisecond, 0, 200).forge = true
	w.mustFinish(time.Minute)
	wantOut(t, w, "B")
}

// A peer whose tree is shorter than every agreed root serves what it has, once
// another has proved the leaves.
func TestProofOfBlocksFromAPeerThatCatchesUp(t *testing.T) {
	w := proving(t, 400)
	w.peer("old", 2*mb, 5*time.Millisecond, 0, 400)
	w.peer("joiner", 20*mb, 5*time.Millisecond, 0, 380)
	s := w.mustFinish(time.Minute)
	if share(s, "joiner") < 0.8 {
		t.Errorf("the joiner gave %.2f", share(s, "joiner"))
	}
}

// The one that can prove has pruned the blocks, the one that has them cannot
// prove: leaves alone are asked for.
func TestProofWithoutTheBlocks(t *testing.T) {
	w := proving(t, 400)
	w.peer("pruned", 8*mb, 5*time.Millisecond, 300, 400)
	w.peer("joiner", 8*mb, 5*time.Millisecond, 0, 320)
	w.mustFinish(time.Minute)
	if w.leafLeases == 0 {
		t.Error("no lease for leaves alone")
	}
}

// One that is short of the newest root by a few blocks proves against an older
// one by itself.
func TestProofAgainstAnOlderRoot(t *testing.T) {
	w := newWorld(t, Config{Prove: true}, 1)
	w.step(w.root(384))
	w.step(w.root(400))
	w.peer("A", 8*mb, 5*time.Millisecond, 384, 400) // pruned
	w.peer("B", 8*mb, 5*time.Millisecond, 0, 390)
	s := w.mustFinish(time.Minute)
	if share(s, "B") < 0.9 {
		t.Errorf("B gave %.2f", share(s, "B"))
	}
	if w.leafLeases > 0 {
		t.Errorf("%d leases for leaves alone", w.leafLeases)
	}
}

// Leaves come about once: what is asked of a second peer is marked as proved.
func TestProofIsNotRepeated(t *testing.T) {
	const blocks = 64 * codec.ProofGroup
	w := proving(t, blocks)
	w.size = func(uint64) int { return 2 << 10 }
	for _, id := range []codec.PeerID{"A", "B", "C", "D"} {
		w.peer(id, 8*mb, 5*time.Millisecond, 0, blocks)
	}
	w.mustFinish(time.Minute)
	if w.groupsSent > 64*5/4 {
		t.Errorf("the leaves of %d groups came, there are 64", w.groupsSent)
	}
}

// A lease keeps the root that it was opened with; what lies beyond it is asked
// for in the next.
func TestProofFollowsAMovingRoot(t *testing.T) {
	w := proving(t, 100)
	for i := range uint64(20) {
		w.at(time.Duration(i)*100*time.Millisecond, func() { w.step(w.root(110 + 20*i)) })
	}
	w.peer("A", 4*mb, 20*time.Millisecond, 0, 600)
	w.peer("B", 4*mb, 20*time.Millisecond, 0, 600)
	s := w.mustFinish(time.Minute)
	if s.Done != 110+20*19 {
		t.Errorf("ended at block %d", s.Done)
	}
	if len(w.out) > 0 {
		t.Errorf("out: %v", w.out)
	}
}

func TestProofRefusesWhatDoesNotFit(t *testing.T) {
	w := proving(t, 100)
	root := codec.SizedRoot{Blocks: 100, Root: w.root(100).Root}
	group := func(g, n uint64) *codec.Leaves {
		m := &codec.Leaves{Group: g, Left: w.tree.between(0, g*32), Right: w.tree.between(min(g*32+n, 100), 100)}
		for i := range n {
			m.Leaves = append(m.Leaves, w.leaf(g*32+i))
		}
		return m
	}
	for _, good := range []*codec.Leaves{group(0, 32), group(2, 32), group(3, 4)} {
		if err := verify(good, root); err != nil {
			t.Error(err)
		}
	}
	swapped := group(1, 32)
	swapped.Leaves[3], swapped.Leaves[4] = swapped.Leaves[4], swapped.Leaves[3]
	long := group(0, 32)
	long.Left = append(long.Left, codec.Hash{1})
	for name, bad := range map[string]*codec.Leaves{
		"swapped": swapped, "too few": group(1, 31), "too many": group(3, 5), "beyond": group(4, 1), "far beyond": {Group: 1 << 60},
		"no sides": {Group: 1, Leaves: group(1, 32).Leaves}, "a longer side": long,
	} {
		if verify(bad, root) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
