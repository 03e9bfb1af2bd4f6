package catchup

import (
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

func TestLull(t *testing.T) {
	var l lull
	least := func(want time.Duration) {
		t.Helper()
		if got := l.least(); got != want {
			t.Errorf("%v means nothing, want %v", got, want)
		}
	}
	l.ended(time.Second, 200*time.Millisecond)
	l.ended(2*time.Second, 100*time.Millisecond)
	least(300 * time.Millisecond)
	l.ended(time.Second+lullHalves, 0)
	least(150 * time.Millisecond)
	l.ended(20*time.Second, time.Hour)
	least(lullMost * 3 / 2)
	if got := (*lull)(nil).least(); got != 0 {
		t.Errorf("of no session %v", got)
	}
}

// A wait that ended well with one peer is no reason to ask another with any.
func TestLullIsEverybodys(t *testing.T) {
	p := New(Config{Session: session, Target: 200})
	a, b := p.meet("A"), p.meet("B")
	b.rate.best, b.rate.n = mb, 2
	before := b.hedgeAfter(1000)
	a.lull.ended(0, 400*time.Millisecond)
	if after := b.hedgeAfter(1000); after != 601*time.Millisecond || after <= before {
		t.Errorf("asked after %v, before after %v", after, before)
	}
}

// What is answered first waits for everybody's handshakes, and is no round trip.
func TestFirstAnswerIsNoRoundTrip(t *testing.T) {
	p := New(Config{Session: session, Target: 200})
	near, far := p.meet("A"), p.meet("B")
	trip := func(x *peer, took, want time.Duration) {
		t.Helper()
		x.trips.answered(took, 0, true)
		if p.believe(x); x.trip != want {
			t.Errorf("%v is believed, want %v", x.trip, want)
		}
	}
	trip(near, time.Second, time.Second)
	trip(far, time.Second, time.Second)
	trip(near, 80*time.Millisecond, 80*time.Millisecond)
	trip(far, 400*time.Millisecond, 2*80*time.Millisecond)
	trip(far, 400*time.Millisecond, 400*time.Millisecond)
}

// Leases of single blocks that tell no rate become larger until they do.
func TestSingleBlocksGrow(t *testing.T) {
	p := New(Config{Session: session, Target: 2000})
	offer := codec.AvailabilityReply{Nonce: session, Held: []codec.BlockRange{{To: 2000}}, Head: codec.Head{Blocks: 2000}}
	x := p.meet("A")
	x.rate.best, x.rate.n = 1000, 4
	p.Step(0, PeerOffered{"A", offer})
	first := x.lease.owed
	p.Step(100*time.Millisecond, BlockArrived{Peer: "A", Lease: 1, Number: 0, Data: make([]byte, 4000)})
	p.Step(110*time.Millisecond, LeaseEnded{"A", codec.End{Lease: 1, Reason: codec.EndDone}})
	if x.lease == nil || first != 1 || x.lease.owed != 2 {
		t.Errorf("%d blocks were asked for, then %+v", first, x.lease)
	}
}

// A spared leader's pause is reckoned anew by the rate that its lease told.
func TestLeaderIsPacedByWhatItGave(t *testing.T) {
	p := New(Config{Session: session, Target: 2000})
	offer := codec.AvailabilityReply{Nonce: session, Held: []codec.BlockRange{{To: 2000}}, Head: codec.Head{Blocks: 2000}}
	for _, id := range []codec.PeerID{"A", "B", "L"} {
		offer.Leader = id == "L"
		p.Step(0, PeerOffered{id, offer})
	}
	l := p.find("L")
	l.pace = 10 * time.Second
	l.rate.best, l.rate.n = mb, 4
	p.mean = 1000
	for _, id := range []codec.PeerID{"A", "B"} {
		p.find(id).rate.best = mb
		p.find(id).rate.samples[0], p.find(id).rate.n = mb, 1
	}
	p.repace(l, &lease{opened: time.Second, got: 100})
	want := time.Second + take(400_000, p.leaderRate(l))
	if l.pace != want || want > 2*time.Second {
		t.Errorf("it rests until %v, want %v", l.pace, want)
	}
}
