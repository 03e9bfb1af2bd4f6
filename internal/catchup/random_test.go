package catchup

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
)

// chaos is a session with faults of every kind, drawn at random. They end after
// a minute, so that the session must.
type chaos struct {
	*world
	gone map[codec.PeerID]bool
	top  uint64 // the greatest target
}

const (
	faultsEnd = time.Minute
	chaosEnd  = 3 * time.Hour
)

func drawChaos(t *rapid.T) *chaos {
	blocks := rapid.Uint64Range(1, 300).Draw(t, "blocks")
	from := rapid.Uint64Range(0, blocks-1).Draw(t, "from")
	cfg := Config{
		From: from, Target: rapid.SampledFrom([]uint64{0, blocks, from + 1}).Draw(t, "target"),
		Window: rapid.SampledFrom([]int64{1 << 20, 8 << 20, 64 << 20}).Draw(t, "window"),
		Prove:  rapid.Bool().Draw(t, "prove"),
	}
	if cfg.Prove {
		cfg.Target = 0
	}
	c := &chaos{
		world: newWorld(t, cfg, rapid.Uint64().Draw(t, "seed")),
		gone:  map[codec.PeerID]bool{}, top: blocks,
	}
	sizes := rapid.SliceOfN(rapid.IntRange(8, codec.MaxBlock), 1, 5).Draw(t, "sizes")
	c.size = func(n uint64) int { return sizes[n%uint64(len(sizes))] }
	c.disk = rapid.SampledFrom([]float64{0, 5 * mb, 100 * mb}).Draw(t, "disk")
	for i := range rapid.IntRange(1, 5).Draw(t, "peers") {
		c.drawPeer(t, codec.PeerID('A'+rune(i)), blocks)
	}
	c.at(0, c.answer)
	c.onAsk = c.answer
	c.at(time.Second, func() { c.aim(blocks) })
	for range rapid.IntRange(0, 8).Draw(t, "turns") {
		c.drawTurn(t)
	}
	return c
}

func (c *chaos) drawPeer(t *rapid.T, id codec.PeerID, blocks uint64) {
	whole := rapid.Bool().Draw(t, "whole")
	lo, hi := uint64(0), blocks
	if !whole {
		lo = rapid.Uint64Range(0, blocks).Draw(t, "lo")
		hi = rapid.Uint64Range(lo, blocks).Draw(t, "hi")
	}
	rate := rapid.SampledFrom([]float64{0.2 * mb, 1 * mb, 8 * mb, 500 * mb}).Draw(t, "rate")
	trip := rapid.SampledFrom([]time.Duration{100 * time.Microsecond, 10 * time.Millisecond, 200 * time.Millisecond}).Draw(t, "trip")
	x := c.peer(id, rate, trip, lo, hi)
	often := rapid.SampledFrom([]float64{0, 0, 0, 0.05, 0.3})
	x.lose, x.double, x.lie = often.Draw(t, "lose"), often.Draw(t, "double"), often.Draw(t, "lie")
	x.short, x.junk = often.Draw(t, "short"), rapid.SampledFrom([]float64{0, 0, 0, 0.01}).Draw(t, "junk")
	x.jitter = rapid.SampledFrom([]time.Duration{0, 0, 20 * time.Millisecond, 3 * time.Second}).Draw(t, "jitter")
	if c.cfg.Prove {
		x.jitter = 0 // a proof goes before its blocks: they share a stream
		x.forge = rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "forge")
	}
	if rapid.Bool().Draw(t, "mutes") {
		at := time.Duration(rapid.Int64Range(0, int64(faultsEnd/4)).Draw(t, "mute"))
		x.stalls = []span{{at, faultsEnd}}
	}
	c.at(faultsEnd, func() {
		x.lose, x.double, x.lie, x.short, x.junk, x.jitter, x.forge = 0, 0, 0, 0, 0, 0, false
	})
}

// drawTurn is one thing that happens to the session from outside.
func (c *chaos) drawTurn(t *rapid.T) {
	at := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "at"))
	x := c.peers[rapid.SampledFrom(c.ids).Draw(t, "peer")]
	turns := map[string]func(){
		"lost": func() {
			c.gone[x.id] = true
			c.step(PeerLost{x.id})
			c.at(7*time.Second, func() { c.gone[x.id] = false; c.offer(x) })
		},
		"leader": func() { c.step(LeaderChanged{x.id}) },
		"grow": func() {
			c.top += 20
			x.held, x.head = []codec.BlockRange{{From: 0, To: c.top}}, c.top
			c.aim(c.top)
		},
		"shrink": func() { // pruned
			if len(x.held) > 0 && x.held[0].Len() > 3 {
				x.held = []codec.BlockRange{{From: x.held[0].From + x.held[0].Len()/2, To: x.held[0].To}}
			}
		},
		"we sleep":    func() { c.asleep = c.now + 4*time.Second },
		"disk stalls": func() { c.diskAt = c.now + 4*time.Second },
		"unasked": func() {
			c.step(BlockArrived{x.id, x.last + 1, 3, c.data(3), c.leaf(3)})
			c.step(BlockArrived{"stranger", 1, 3, c.data(3), c.leaf(3)})
			c.step(LeaseEnded{x.id, codec.End{Lease: x.last + 5, Reason: codec.EndDone}})
			c.step(StreamReset{x.id, x.last + 5})
		},
		"other session": func() { c.step(PeerOffered{x.id, codec.AvailabilityReply{Nonce: session - 1}}) },
	}
	names := []string{"lost", "leader", "grow", "shrink", "we sleep", "disk stalls", "unasked", "other session"}
	c.at(at, turns[rapid.SampledFrom(names).Draw(t, "turn")])
}

// answer is what a Broadcast brings: some of the offers.
func (c *chaos) answer() {
	for _, id := range c.ids {
		x := c.peers[id]
		if c.gone[id] || c.rng.Float64() < x.lose {
			continue
		}
		c.at(2*x.trip, func() {
			if !c.gone[id] {
				c.offer(x)
			}
		})
	}
}

// aim moves the target, as a session does that proves or that does not.
func (c *chaos) aim(n uint64) {
	if c.cfg.Prove {
		c.step(c.root(n))
	} else {
		c.step(RootAgreed{Blocks: n})
	}
}

// prover reports whether somebody can prove every block below the target.
func (c *chaos) prover() bool {
	for _, id := range c.ids {
		if !c.gone[id] && c.out[id] == nil && c.peers[id].head >= c.top {
			return true
		}
	}
	return !c.cfg.Prove
}

func (c *chaos) someoneHas(n uint64) bool {
	for _, id := range c.ids {
		if !c.gone[id] && c.out[id] == nil && holds(sealed(c.peers[id].held, c.peers[id].head), n) {
			return true
		}
	}
	return false
}

func TestAnyOrderEndsWell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChaos(t)
		c.run(chaosEnd)
		var unserved *UnservedError
		switch {
		case c.finished: // run has checked that everything was released, once and in order
		case !errors.As(c.failed, &unserved):
			t.Fatalf("neither finished nor failed at %v: %+v", c.now, c.plan.Status())
		case c.plan.aimed && c.prover() && c.someoneHas(unserved.Block):
			t.Fatalf("%v, but somebody has it", unserved)
		}
	})
}
