package catchup

import (
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// What a hedge was reckoned to cost comes back when it is not sent.
func TestHedgeIsRefunded(t *testing.T) {
	w := &world{}
	w.size = func(uint64) int { return 64 << 10 }
	p := New(Config{Session: session, Target: 200})
	at := time.Duration(0)
	arrive := func(id codec.PeerID, n uint64) {
		at += 10 * time.Millisecond
		p.Step(at, BlockArrived{Peer: id, Lease: 1, Number: n, Data: w.data(n)})
	}
	for _, id := range []codec.PeerID{"A", "B"} {
		p.Step(at, PeerOffered{id, codec.AvailabilityReply{
			Nonce: session, Held: []codec.BlockRange{{To: 200}}, Head: codec.Head{Blocks: 200},
		}})
	}
	arrive("A", 0)
	arrive("A", 1)
	at += 200 * time.Millisecond
	for n := range uint64(4) {
		arrive("B", 4+n)
	}
	before := p.hedging
	at += 10 * time.Millisecond
	p.Step(at, Ticked{})
	if p.hedging >= before {
		t.Fatalf("a hedge is due at %v: %+v", at, p.Status())
	}
	p.Step(at, PeerLost{"B"})
	if p.hedging != before {
		t.Errorf("%d bytes are left for hedges, before it were %d", p.hedging, before)
	}
}

// The leader is no second while another holder is only about to end its lease.
func TestHedgeWaitsForABusyHolder(t *testing.T) {
	p := New(Config{Session: session, Target: 200})
	for _, id := range []codec.PeerID{"A", "B", "L"} {
		p.Step(0, PeerOffered{id, codec.AvailabilityReply{
			Nonce: session, Held: []codec.BlockRange{{To: 200}}, Head: codec.Head{Blocks: 200}, Leader: id == "L",
		}})
	}
	a, b, l := p.find("A"), p.find("B"), p.find("L")
	l.rate.samples[0], l.rate.best, l.rate.n = mb, mb, 2
	b.lease.cancelled = true
	if y := p.second(a, 0); y != nil {
		t.Errorf("%s is asked", y.id)
	}
	b.rest = time.Second
	if y := p.second(a, 0); y != l {
		t.Errorf("the leader is not asked while the other rests")
	}
}

// Who failed lately is a second only if there is no other.
func TestHedgeAsksWhoDidNotFail(t *testing.T) {
	p := New(Config{Session: session, Target: 200})
	for _, id := range []codec.PeerID{"A", "B", "C"} {
		p.Step(0, PeerOffered{id, codec.AvailabilityReply{
			Nonce: session, Held: []codec.BlockRange{{To: 200}}, Head: codec.Head{Blocks: 200},
		}})
	}
	a, b, c := p.find("A"), p.find("B"), p.find("C")
	b.rate.best, c.rate.best = 2*mb, mb
	if y := p.second(a, 0); y != b {
		t.Errorf("%s is asked, not the faster", y.id)
	}
	b.strikes = 1
	if y := p.second(a, 0); y != c {
		t.Errorf("%s is asked, which failed lately", y.id)
	}
	p.Step(0, PeerLost{"C"})
	if y := p.second(a, 0); y != b {
		t.Errorf("nobody is asked, though one is here")
	}
}

// A peer of unknown speed is forgiven that another was faster, in one lease.
func TestStrangerIsForgivenOnce(t *testing.T) {
	x := &peer{lease: &lease{number: 1}}
	for range 2 {
		if !x.forgiven() {
			t.Error("blamed in its first lease")
		}
	}
	x.lease = &lease{number: 2}
	if x.forgiven() {
		t.Error("forgiven in its second lease")
	}
	y := &peer{lease: &lease{number: 1}, rate: meter{best: 1}}
	if y.forgiven() {
		t.Error("forgiven though its speed is known")
	}
}

// A peer that idles because its offer is older than the target is asked again
// soon, however seldom everybody is asked by then.
func TestIdlePeerIsAskedAgain(t *testing.T) {
	p := New(Config{Session: session, Target: 4})
	offer := func(id codec.PeerID, to uint64) {
		p.Step(p.now, PeerOffered{id, codec.AvailabilityReply{
			Nonce: session, Held: []codec.BlockRange{{To: to}}, Head: codec.Head{Blocks: to},
		}})
	}
	offer("A", 1000)
	offer("B", 4)
	p.ask = p.now + time.Minute
	p.Step(p.now, Ticked{})
	if p.ask != p.now+time.Minute {
		t.Error("asked although nobody can have more that is wanted")
	}
	p.Step(p.now, RootAgreed{Blocks: 1000})
	if p.ask > p.now+askIdle {
		t.Errorf("B idles, and is asked in %v", p.ask-p.now)
	}
}

// Who failed, and then serves for as long as it had to rest, in a lease that does
// not end, is trusted with as much as before.
func TestServingMakesUpForAFailure(t *testing.T) {
	w := &world{size: func(uint64) int { return 64 << 10 }}
	p := New(Config{Session: session, Target: 200})
	p.Step(0, PeerOffered{"A", codec.AvailabilityReply{
		Nonce: session, Held: []codec.BlockRange{{To: 200}}, Head: codec.Head{Blocks: 200},
	}})
	x := p.find("A")
	x.strikes = 2
	for n, want := range []int{2, 2, 2, 0} {
		at := time.Duration(n+1) * 300 * time.Millisecond // it had to rest for a second
		p.Step(at, BlockArrived{Peer: "A", Lease: 1, Number: uint64(n), Data: w.data(uint64(n))})
		if x.strikes != want {
			t.Errorf("%d strikes after %v of service, want %d", x.strikes, at, want)
		}
	}
}

// Who failed lately gets what the others leave, and is given up sooner at the
// floor; a stranger has the time of its first block.
func TestWhoFailedComesLast(t *testing.T) {
	p := New(Config{Session: session})
	for _, id := range []codec.PeerID{"A", "B"} {
		p.Step(0, PeerOffered{id, codec.AvailabilityReply{
			Nonce: session, Held: []codec.BlockRange{{To: 200}}, Head: codec.Head{Blocks: 200},
		}})
	}
	a, b := p.find("A"), p.find("B")
	a.strikes, b.bytes = 1, 1000
	a.idle, b.idle = ReasonNone, ReasonNone
	if first := p.hungry()[0]; first != b {
		t.Errorf("%s is served first", first.id)
	}
	known := &peer{rate: meter{best: 10 * mb}}
	if got, want := known.giveUpAfter(p.mean), 2*known.hedgeAfter(p.mean); got != want {
		t.Errorf("a peer is given up after %v, want %v", got, want)
	}
	known.strikes = 1
	if got, want := known.giveUpAfter(p.mean), known.hedgeAfter(p.mean); got != want {
		t.Errorf("one that failed is given up after %v, want %v", got, want)
	}
	if got := (&peer{}).giveUpAfter(p.mean); got != silentCold {
		t.Errorf("a stranger is given up after %v, want %v", got, silentCold)
	}
}

// When everybody rests, one whose blocks all lie beyond the window does not keep
// another from being tried.
func TestLeastBadIsOneThatHelps(t *testing.T) {
	p := New(Config{Session: session, Target: 100, Window: 1 << 20})
	for id, held := range map[codec.PeerID]codec.BlockRange{"near": {To: 1}, "far": {From: 50, To: 100}} {
		p.Step(0, PeerOffered{id, codec.AvailabilityReply{Nonce: session, Held: []codec.BlockRange{held}, Head: codec.Head{Blocks: 100}}})
	}
	near, far := p.find("near"), p.find("far")
	p.close(near)
	near.rest, near.retry = time.Hour, time.Second
	far.rest = time.Hour
	p.Step(2*time.Second, Ticked{})
	if near.lease == nil {
		t.Errorf("the floor is not asked for: %+v", p.Status())
	}
}
