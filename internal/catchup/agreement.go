package catchup

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/logmesh/logmesh/codec"
)

// Agreement finds the roots of the block tree that a majority of a fixed set of
// voters states alike. Nobody else counts: a lying minority of them, and any
// number of liars beside them, changes nothing but the size at which they agree.
//
// What is always true: every agreed root was stated by enough of the voters, and
// agreed sizes only grow. A voter's first statement for a size stands.
type Agreement struct {
	voters []codec.PeerID
	self   codec.PeerID
	alone  bool // CountSelf
	said   map[codec.PeerID]*statement
	agreed codec.SizedRoot
	by     int
	odd    *DisputeError
}

// statement is what one voter said.
type statement struct {
	head  uint64
	roots map[uint64]codec.Hash
}

// maxStated is how many sizes are kept of one voter: the greatest.
const maxStated = 24

// DisputeError says that two voters state different roots over as many blocks,
// or one of them two. One of them lost its log or lies.
type DisputeError struct {
	Blocks       uint64
	A, B         codec.PeerID
	RootA, RootB codec.Hash
}

func (e *DisputeError) Error() string {
	return fmt.Sprintf("members disagree about the first %d blocks: %s says root %s, %s says %s",
		e.Blocks, e.A, e.RootA.Short(), e.B, e.RootB.Short())
}

// Question asks a voter for the roots at some sizes.
type Question struct {
	Peer  codec.PeerID
	Sizes []uint64
}

// NewAgreement begins without any statement. self, which may be one of the
// voters, is not asked.
func NewAgreement(voters []codec.PeerID, self codec.PeerID) *Agreement {
	voters = slices.Clone(voters)
	slices.Sort(voters)
	return &Agreement{
		voters: slices.Compact(voters), self: self, said: map[codec.PeerID]*statement{},
	}
}

// need is how many must state a root: a majority, or one less while we stand for
// ourselves and no majority of the others has spoken.
func (a *Agreement) need() int {
	k := len(a.voters)/2 + 1
	if a.alone && len(a.said) < k {
		k--
	}
	return k
}

// Voters is the set whose majority decides.
func (a *Agreement) Voters() []codec.PeerID { return a.voters }

// Trust pins a root by hand: it is agreed from now on.
func (a *Agreement) Trust(root codec.SizedRoot) {
	if root.Blocks > a.agreed.Blocks {
		a.agreed, a.by = root, 0
	}
}

// CountSelf lets a voter that catches up stand for itself, when a majority of
// the others has been missing for long: one statement less is needed. Else two
// of three voters, one of them behind, could never commit again.
func (a *Agreement) CountSelf() {
	a.alone = slices.Contains(a.voters, a.self) && len(a.voters) > 1
	a.look()
}

// Attested takes what a peer said of its log, over a connection that is known
// to be its own. Who says that it is no voter has not spoken: it lost its directory
// and comes back as a new member, or cannot vote now. It reports whether the agreed root has grown.
func (a *Agreement) Attested(peer codec.PeerID, r codec.AvailabilityReply) bool {
	if peer == a.self || !slices.Contains(a.voters, peer) {
		return false
	}
	if !r.Voter {
		a.Gone(peer)
		return false
	}
	s := a.said[peer]
	if s == nil {
		s = &statement{roots: map[uint64]codec.Hash{}}
		a.said[peer] = s
	}
	s.head = max(s.head, r.Head.Blocks)
	a.state(peer, s, codec.SizedRoot{Blocks: r.Head.Blocks, Root: r.Head.Root})
	a.state(peer, s, r.Rounded)
	for _, root := range r.Roots {
		a.state(peer, s, root)
	}
	s.trim()
	before := a.agreed.Blocks
	a.look()
	return a.agreed.Blocks > before
}

func (a *Agreement) state(peer codec.PeerID, s *statement, r codec.SizedRoot) {
	if r.Blocks == 0 {
		return
	}
	if first, ok := s.roots[r.Blocks]; !ok {
		s.roots[r.Blocks] = r.Root
	} else if first != r.Root {
		a.dispute(&DisputeError{Blocks: r.Blocks, A: peer, B: peer, RootA: first, RootB: r.Root})
	}
	for _, other := range a.voters {
		if o := a.said[other]; o != nil && other != peer {
			if root, ok := o.roots[r.Blocks]; ok && root != r.Root {
				a.dispute(&DisputeError{Blocks: r.Blocks, A: other, B: peer, RootA: root, RootB: r.Root})
			}
		}
	}
}

// dispute keeps the dispute over the fewest blocks.
func (a *Agreement) dispute(e *DisputeError) {
	if a.odd == nil || e.Blocks < a.odd.Blocks {
		a.odd = e
	}
}

// trim keeps the greatest sizes.
func (s *statement) trim() {
	if len(s.roots) <= maxStated {
		return
	}
	sizes := slices.Sorted(maps.Keys(s.roots))
	for _, n := range sizes[:len(sizes)-maxStated] {
		delete(s.roots, n)
	}
}

// look settles the greatest size at which enough voters state one root, and
// not as many another: that can only be when we count ourselves.
func (a *Agreement) look() {
	votes := map[uint64]map[codec.Hash]int{}
	for _, s := range a.said {
		for n, root := range s.roots {
			if votes[n] == nil {
				votes[n] = map[codec.Hash]int{}
			}
			votes[n][root]++
		}
	}
	for n, roots := range votes {
		if root, by, ok := a.majority(roots); ok && n >= a.agreed.Blocks {
			a.agreed, a.by = codec.SizedRoot{Blocks: n, Root: root}, by
		}
	}
}

func (a *Agreement) majority(roots map[codec.Hash]int) (best codec.Hash, by int, ok bool) {
	for root, n := range roots {
		if n < a.need() {
			continue
		}
		if ok {
			return codec.Hash{}, 0, false
		}
		best, by, ok = root, n, true
	}
	return best, by, ok
}

// Agreed is the greatest agreed root; by is how many voters stated it.
func (a *Agreement) Agreed() (root codec.SizedRoot, by int, ok bool) {
	return a.agreed, a.by, a.agreed.Blocks > 0
}

// Empty reports whether enough voters say that nothing is sealed yet.
func (a *Agreement) Empty() bool {
	n := 0
	for _, s := range a.said {
		if s.head == 0 {
			n++
		}
	}
	return n >= a.need()
}

// Size is the size at which a majority could agree now: of the voters' heads
// the one that enough of them reach. False: too few have spoken.
func (a *Agreement) Size() (uint64, bool) {
	if len(a.said) < a.need() {
		return 0, false
	}
	heads := make([]uint64, 0, len(a.said))
	for _, s := range a.said {
		heads = append(heads, s.head)
	}
	slices.SortFunc(heads, func(x, y uint64) int { return cmp.Compare(y, x) })
	return heads[a.need()-1], true
}

// Questions is what to ask of whom for a greater agreed root.
func (a *Agreement) Questions() (list []Question) {
	n, ok := a.Size()
	if !ok || n <= a.agreed.Blocks {
		return nil
	}
	for _, peer := range a.voters {
		s := a.said[peer]
		if s == nil || s.head < n {
			continue
		}
		if _, stated := s.roots[n]; !stated {
			list = append(list, Question{Peer: peer, Sizes: []uint64{n}})
		}
	}
	return list
}

// Silent lists the voters that a majority waits for; nil when enough have
// spoken.
func (a *Agreement) Silent() (list []codec.PeerID) {
	if len(a.said) >= a.need() {
		return nil
	}
	for _, peer := range a.voters {
		if peer != a.self && a.said[peer] == nil {
			list = append(list, peer)
		}
	}
	return list
}

// Gone forgets what a voter said: it left, and may come back with another log.
func (a *Agreement) Gone(peer codec.PeerID) { delete(a.said, peer) }

// Dispute is the disagreement over the fewest blocks that was seen, or nil.
func (a *Agreement) Dispute() *DisputeError { return a.odd }
