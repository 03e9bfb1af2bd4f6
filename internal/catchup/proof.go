package catchup

import (
	"fmt"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// proofs are what a session that proves its blocks knows: the agreed roots, and
// the leaves that were proved against one of them while their blocks are
// missing. So a block that is asked of a second peer needs no second proof.
type proofs struct {
	roots  []codec.SizedRoot       // agreed, ascending; the last is the session's target
	groups map[uint64][]codec.Hash // by proof group, from its first block on
	known  blockSet                // the blocks of groups
}

// maxRoots is how many agreed roots are kept: a peer proves against the greatest
// that its own tree reaches.
const maxRoots = 8

// ProofError says that a peer's leaves do not lead to the agreed root, or a
// block not to its leaf.
type ProofError struct {
	Block uint64 // the first of the group, when the leaves are wrong
	Tree  uint64
	Why   string
}

func (e *ProofError) Error() string {
	return fmt.Sprintf("block %d does not prove in a tree of %d blocks: %s", e.Block, e.Tree, e.Why)
}

func (q *proofs) agree(r codec.SizedRoot) bool {
	i, found := slices.BinarySearchFunc(q.roots, r.Blocks, func(x codec.SizedRoot, n uint64) int {
		switch {
		case x.Blocks < n:
			return -1
		case x.Blocks > n:
			return 1
		}
		return 0
	})
	if found {
		return false
	}
	q.roots = slices.Insert(q.roots, i, r)
	if len(q.roots) > maxRoots {
		q.roots = slices.Delete(q.roots, 0, 1)
	}
	return true
}

// rootFor is the greatest agreed root that a tree of head blocks reaches.
func (q *proofs) rootFor(head uint64) (best codec.SizedRoot) {
	for _, r := range q.roots {
		if r.Blocks <= head {
			best = r
		}
	}
	return best
}

// leaf is the proved leaf of block n.
func (q *proofs) leaf(n uint64) (codec.Hash, bool) {
	leaves := q.groups[n/codec.ProofGroup]
	i := n % codec.ProofGroup
	if i >= uint64(len(leaves)) {
		return codec.Hash{}, false
	}
	return leaves[i], true
}

// add keeps a group's proved leaves, unless more of them are here already.
func (q *proofs) add(group uint64, leaves []codec.Hash) {
	if len(leaves) <= len(q.groups[group]) {
		return
	}
	if q.groups == nil {
		q.groups = map[uint64][]codec.Hash{}
	}
	q.groups[group] = leaves
	from := group * codec.ProofGroup
	q.known.add(from, from+uint64(len(leaves)))
}

// forget drops the groups whose blocks all lie below n.
func (q *proofs) forget(n uint64) {
	for len(q.known.ranges) > 0 {
		group := q.known.ranges[0].From / codec.ProofGroup
		end := (group + 1) * codec.ProofGroup
		if end > n {
			return
		}
		delete(q.groups, group)
		q.known.remove(group*codec.ProofGroup, end)
	}
}

// verify checks a proof group against the root of its tree.
func verify(m *codec.Leaves, root codec.SizedRoot) error {
	first := m.Group * codec.ProofGroup
	fail := func(why string) error { return &ProofError{Block: first, Tree: root.Blocks, Why: why} }
	if m.Group > root.Blocks/codec.ProofGroup || first >= root.Blocks {
		return fail("the group lies beyond the tree")
	}
	if want := min(codec.ProofGroup, root.Blocks-first); uint64(len(m.Leaves)) != want {
		return fail(fmt.Sprintf("%d leaves instead of %d", len(m.Leaves), want))
	}
	got, err := codec.ProvedRoot(root.Blocks, first, m.Left, m.Leaves, m.Right)
	switch {
	case err != nil:
		return fail(err.Error())
	case got != root.Root:
		return fail(fmt.Sprintf("its leaves lead to root %s, agreed is %s", got.Short(), root.Root.Short()))
	}
	return nil
}

// rootAgreed takes a root that the voters agree on; the target moves to it.
func (p *Plan) rootAgreed(r codec.SizedRoot) {
	if r.Blocks < p.cfg.From || p.cfg.Prove && !p.proofs.agree(r) {
		return
	}
	for _, x := range p.peers {
		p.fit(x)
	}
	p.aim(r.Blocks)
}

// leavesArrived keeps leaves that prove. They must belong to the open lease.
func (p *Plan) leavesArrived(e LeavesArrived) {
	x := p.find(e.Peer)
	if x == nil || !x.serves() {
		p.drop(DropPeer)
		return
	}
	l := x.lease
	if l == nil || l.number != e.Leaves.Lease {
		p.drop(DropLease)
		return
	}
	if e.Leaves.Tree != l.root.Blocks || !l.proves(e.Leaves.Group) {
		p.drop(DropUnasked)
		return
	}
	p.answered(x, (len(e.Leaves.Leaves)+len(e.Leaves.Left)+len(e.Leaves.Right))*len(codec.Hash{}), true)
	p.believe(x)
	l.heard = p.now
	if err := verify(&e.Leaves, l.root); err != nil {
		p.distrust(x, err)
		return
	}
	p.proofs.add(e.Leaves.Group, e.Leaves.Leaves)
	for _, y := range p.peers {
		if p.short(y) {
			p.fit(y)
		}
	}
}

// proved checks a block against its leaf. A peer sends a group's leaves before
// the first of its blocks.
func (p *Plan) proved(e BlockArrived) error {
	leaf, ok := p.proofs.leaf(e.Number)
	tree := p.find(e.Peer).lease.root.Blocks
	switch {
	case !ok:
		return &ProofError{Block: e.Number, Tree: tree, Why: "no leaves came before it"}
	case leaf != e.Leaf:
		return &ProofError{Block: e.Number, Tree: tree, Why: "its leaf is " + e.Leaf.Short() + ", proved is " + leaf.Short()}
	}
	return nil
}

// proves reports whether a proof group has a block in the lease's list.
func (l *lease) proves(group uint64) bool {
	from, to := group*codec.ProofGroup, (group+1)*codec.ProofGroup
	in := func(s segment) bool { return s.from < to && from < s.to }
	return slices.ContainsFunc(l.todo, in) || slices.ContainsFunc(l.shed, in) || slices.ContainsFunc(l.leaves, in)
}

// limit is the end of the blocks that a peer can prove: by its open lease, or by
// the next.
func (p *Plan) limit(x *peer) codec.SizedRoot {
	if x.lease != nil {
		return x.lease.root
	}
	return p.proofs.rootFor(x.head)
}

// short reports whether a peer holds blocks that are to be proved and that it
// cannot prove.
func (p *Plan) short(x *peer) bool {
	if len(p.proofs.roots) == 0 || !x.serves() || len(x.held) == 0 {
		return false
	}
	end := p.proofs.roots[len(p.proofs.roots)-1].Blocks
	return p.limit(x).Blocks < min(end, x.held[len(x.held)-1].To)
}

// fit works out which blocks a peer can be asked for: those that it holds and
// can prove, or whose leaves are known.
func (p *Plan) fit(x *peer) {
	if !p.short(x) {
		x.fit = x.held
		return
	}
	var s blockSet
	limit := p.limit(x).Blocks
	for _, r := range x.held {
		s.add(r.From, min(r.To, limit))
	}
	for from := limit; ; {
		r, ok := p.proofs.known.first(from, x.held)
		if !ok {
			break
		}
		s.add(r.From, r.To)
		from = r.To
	}
	x.fit = s.ranges
}

// servable is what a peer could give, now or once leaves are here.
func (p *Plan) servable(x *peer) []codec.BlockRange {
	if len(p.proofs.roots) == 0 || !slices.ContainsFunc(p.peers, func(y *peer) bool { return y.serves() && !p.short(y) }) {
		return x.fit
	}
	return x.held
}

// marked turns ranges into those of a Fetch or Extend: each is proved already or
// not. What exceeds the limit of a message is left out.
func (p *Plan) marked(ranges []codec.BlockRange) (list []codec.WantRange) {
	if !p.cfg.Prove {
		for _, r := range ranges {
			list = append(list, codec.WantRange{From: r.From, To: r.To})
		}
		return list
	}
	for _, r := range ranges {
		for from := r.From; from < r.To && len(list) < codec.MaxRanges; {
			w := codec.WantRange{From: from, To: r.To}
			known, ok := p.proofs.known.first(from, []codec.BlockRange{r})
			switch {
			case ok && known.From == from:
				w.To, w.Proved = known.To, true
			case ok:
				w.To = known.From
			}
			list = append(list, w)
			from = w.To
		}
	}
	return list
}

// wholeGroups lets a long run of blocks from start on end with a proof group,
// so that few groups are proved by two peers.
func (p *Plan) wholeGroups(start, blocks uint64) uint64 {
	if !p.cfg.Prove || blocks < 2*codec.ProofGroup {
		return blocks
	}
	return blocks - (start+blocks)%codec.ProofGroup
}

// leafLease asks a peer for leaves alone, so that peers which hold blocks but
// are too short to prove them can serve.
func (p *Plan) leafLease(x *peer) bool {
	if !p.cfg.Prove || x.lease != nil || p.now < p.leafAgain {
		return false
	}
	root := p.proofs.rootFor(x.head)
	ranges := p.unproved(x, root.Blocks)
	if len(ranges) == 0 {
		return false
	}
	p.leafAgain = p.now + leafEvery
	p.open(x, root)
	wants := make([]codec.WantRange, 0, len(ranges))
	for _, r := range ranges {
		x.lease.leaves = append(x.lease.leaves, segment{from: r.From, to: r.To})
		wants = append(wants, codec.WantRange{From: r.From, To: r.To})
	}
	p.do(Fetch{Peer: x.id, Lease: x.lease.number, Tree: root.Blocks, Leaves: true, Ranges: wants})
	return true
}

// unproved is holes without leaves that x can prove and a shorter, idle peer
// holds: at most leafGroups proof groups.
func (p *Plan) unproved(x *peer, limit uint64) (list []codec.BlockRange) {
	left := uint64(leafGroups * codec.ProofGroup)
	for _, y := range p.peers {
		if y == x || !p.short(y) || y.lease != nil || p.now < y.rest {
			continue
		}
		for from := p.limit(y).Blocks; left > 0 && len(list) < codec.MaxRanges/2; {
			r, ok := p.free.first(from, y.held)
			if !ok || r.From >= limit {
				break
			}
			r.To = min(r.To, limit, r.From+left)
			from = r.To
			if !p.knows(r) {
				list = append(list, r)
				left -= r.Len()
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// knows reports whether all leaves of a range are here.
func (p *Plan) knows(r codec.BlockRange) bool {
	k, ok := p.proofs.known.first(r.From, []codec.BlockRange{r})
	return ok && k == r
}

const (
	leafGroups = 256                    // proof groups whose leaves are asked for at once
	leafEvery  = 200 * time.Millisecond // between two such leases
)
