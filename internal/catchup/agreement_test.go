package catchup

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/logmesh/logmesh/codec"
)

func hash(b byte) codec.Hash { return codec.Hash{b} }

// says is a reply with a head, and roots at other sizes.
func says(head uint64, root codec.Hash, more ...codec.SizedRoot) codec.AvailabilityReply {
	return codec.AvailabilityReply{Voter: true, Head: codec.Head{Blocks: head, Root: root}, Roots: more}
}

func at(n uint64, root codec.Hash) codec.SizedRoot { return codec.SizedRoot{Blocks: n, Root: root} }

func wantAgreed(t *testing.T, a *Agreement, want codec.SizedRoot, by int) {
	t.Helper()
	if got, n, ok := a.Agreed(); got != want || n != by || ok != (want.Blocks > 0) {
		t.Errorf("agreed: %d %s by %d, want %d %s by %d", got.Blocks, got.Root.Short(), n, want.Blocks, want.Root.Short(), by)
	}
}

func TestAgreementNeedsAMajorityAtOneSize(t *testing.T) {
	a := NewAgreement([]codec.PeerID{"A", "B", "C"}, "us")
	a.Attested("A", says(10, hash(10)))
	a.Attested("X", says(10, hash(10))) // no voter
	a.Attested("us", says(10, hash(10)))
	wantAgreed(t, a, codec.SizedRoot{}, 0)
	if got := a.Silent(); !reflect.DeepEqual(got, []codec.PeerID{"B", "C"}) {
		t.Errorf("silent: %v", got)
	}
	a.Attested("B", says(12, hash(12)))
	if n, ok := a.Size(); n != 10 || !ok {
		t.Errorf("size %d", n)
	}
	if got := a.Questions(); !reflect.DeepEqual(got, []Question{{"B", []uint64{10}}}) {
		t.Errorf("questions: %v", got)
	}
	if !a.Attested("B", says(13, hash(13), at(10, hash(10)))) {
		t.Error("nothing grew")
	}
	wantAgreed(t, a, at(10, hash(10)), 2)
	a.Attested("C", says(13, hash(13)))
	wantAgreed(t, a, at(13, hash(13)), 2)
	if a.Silent() != nil || a.Questions() != nil {
		t.Errorf("silent %v, questions %v", a.Silent(), a.Questions())
	}
}

func TestAgreementIgnoresALyingMinority(t *testing.T) {
	a := NewAgreement([]codec.PeerID{"A", "B", "C", "D", "E"}, "us")
	a.Attested("E", says(1<<40, hash(99), at(20, hash(98))))
	a.Attested("D", says(20, hash(98)))
	a.Attested("A", says(20, hash(20)))
	a.Attested("B", says(20, hash(20)))
	wantAgreed(t, a, codec.SizedRoot{}, 0)
	a.Attested("C", says(20, hash(20)))
	wantAgreed(t, a, at(20, hash(20)), 3)
	if d := a.Dispute(); d == nil || d.Blocks != 20 {
		t.Errorf("dispute: %v", d)
	}
	a.Attested("A", says(21, hash(21), at(20, hash(98)))) // the first statement stands
	wantAgreed(t, a, at(20, hash(20)), 3)
}

func TestAgreementOfALoneVoter(t *testing.T) {
	a := NewAgreement([]codec.PeerID{"A", "B", "us"}, "us")
	a.Attested("A", says(10, hash(10)))
	wantAgreed(t, a, codec.SizedRoot{}, 0)
	a.CountSelf()
	wantAgreed(t, a, at(10, hash(10)), 1)
	a.Attested("B", says(11, hash(11))) // back: we are not needed any more
	a.Attested("A", says(12, hash(12)))
	wantAgreed(t, a, at(10, hash(10)), 1)
	a.Attested("A", says(12, hash(12), at(11, hash(11))))
	wantAgreed(t, a, at(11, hash(11)), 2)
}

func TestAgreementCountsOnlyAVoterItself(t *testing.T) {
	a := NewAgreement([]codec.PeerID{"A", "B", "C"}, "us")
	a.CountSelf()
	a.Attested("A", says(10, hash(10)))
	wantAgreed(t, a, codec.SizedRoot{}, 0)
	one := NewAgreement([]codec.PeerID{"us"}, "us")
	one.CountSelf()
	wantAgreed(t, one, codec.SizedRoot{}, 0)
}

func TestAgreementThatNothingIsSealed(t *testing.T) {
	a := NewAgreement([]codec.PeerID{"A", "B", "C"}, "us")
	a.Attested("A", says(0, codec.EmptyRoot()))
	if a.Empty() {
		t.Error("empty by one of three")
	}
	a.Attested("B", says(0, codec.EmptyRoot()))
	if !a.Empty() || a.Questions() != nil {
		t.Errorf("empty %v, questions %v", a.Empty(), a.Questions())
	}
}

// A voter that lost its directory says that it is none: it is as one that is
// silent, and the one that catches up counts itself.
func TestAgreementWithoutWhoLostItsLog(t *testing.T) {
	a := NewAgreement([]codec.PeerID{"A", "B", "us"}, "us")
	a.CountSelf()
	a.Attested("B", codec.AvailabilityReply{})
	a.Attested("A", says(10, hash(10)))
	wantAgreed(t, a, at(10, hash(10)), 1)
}

func TestAgreementForgetsWhoLeft(t *testing.T) {
	a := NewAgreement([]codec.PeerID{"A", "B", "C"}, "us")
	a.Attested("A", says(10, hash(10)))
	a.Gone("A")
	a.Attested("B", says(10, hash(10)))
	wantAgreed(t, a, codec.SizedRoot{}, 0)
}

// Random heads and liars: what is agreed is the truth as long as liars are a
// minority, and asking leads to the majority's size.
func TestAgreementFindsTheTruth(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var voters []codec.PeerID
		heads, lies := map[codec.PeerID]uint64{}, map[codec.PeerID]bool{}
		for i := range 1 + 2*rng.IntN(4) {
			p := codec.PeerID(fmt.Sprint("v", i))
			voters = append(voters, p)
			heads[p] = 50 + rng.Uint64N(100)
		}
		for range rng.IntN(len(voters)/2 + 1) {
			lies[voters[rng.IntN(len(voters))]] = true
		}
		root := func(p codec.PeerID, n uint64) codec.Hash {
			if lies[p] {
				return codec.Leaf(fmt.Append(nil, "lie", n))
			}
			return codec.Leaf(fmt.Append(nil, n))
		}
		a := NewAgreement(voters, "us")
		for _, p := range voters {
			a.Attested(p, says(heads[p], root(p, heads[p])))
		}
		for range 10 {
			for _, q := range a.Questions() {
				a.Attested(q.Peer, says(heads[q.Peer], root(q.Peer, heads[q.Peer]), at(q.Sizes[0], root(q.Peer, q.Sizes[0]))))
			}
		}
		got, by, ok := a.Agreed()
		if ok && (got.Root != codec.Leaf(fmt.Append(nil, got.Blocks)) || by < a.need()) {
			t.Fatalf("seed %d: a lie over %d blocks was agreed, by %d", seed, got.Blocks, by)
		}
		liars := 0
		for _, l := range lies {
			if l {
				liars++
			}
		}
		if size, _ := a.Size(); liars == 0 && got.Blocks != size {
			t.Fatalf("seed %d: agreed %d of %d", seed, got.Blocks, size)
		}
	}
}
