package actors

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// syncSession is one catch-up.
type syncSession struct {
	id       uint64
	want     syncWanted
	plan     *catchup.Plan
	started  time.Time
	stopWake func()
	stopTick func()
	from     uint64
	offers   map[codec.PeerID]codec.AvailabilityReply
	stored   uint64        // entries
	stray    atomic.Uint64 // frames that the fetchers dropped
	began    bool          // there is something to fetch, or it is known that there is not
	finished bool          // the plan has finished

	agree  *catchup.Agreement // nil: whose word counts is not known yet; of a repair always
	asking map[codec.PeerID]bool
	asked  map[codec.PeerID]uint64 // the size last asked of a voter
	root   codec.SizedRoot         // what the plan was told
	silent time.Time               // since when a majority has been missing; zero: it is not

	search    *catchup.Search // for the first block that differs
	searchEnd time.Time
	differ    *RootError
}

// wanted begins a session, or widens the one that runs.
func (c *coordinator) wanted(ctx actor.Context, w syncWanted) {
	if c.over {
		return
	}
	c.asker = w.reply
	if c.s != nil {
		c.s.want.until = max(c.s.want.until, w.until)
		if w.behind == 0 {
			c.s.want.behind = 0
		}
		return
	}
	c.sessions++
	plan := catchup.Config{
		Session: c.nonce(), Self: c.self, From: c.ledger.Head().Blocks,
		Window: planWindow, Lease: c.sessions << 32, // what an earlier session's fetchers still say is recognised
	}
	plan.Seed, plan.Prove = plan.Session, !w.repair
	if w.repair && !c.aimAtHole(&plan) {
		ctx.Send(w.reply, syncDone{})
		return
	}
	c.fetchers = map[codec.PeerID]*actor.PID{}
	c.s = &syncSession{
		id: plan.Session, want: w, started: c.clock.Now(), from: plan.From, plan: catchup.New(plan),
		offers: map[codec.PeerID]codec.AvailabilityReply{}, asking: map[codec.PeerID]bool{}, asked: map[codec.PeerID]uint64{},
	}
	c.log.Debug("asking peers what they have", "why", w.why, "from_block", plan.From, "session", c.s.id)
	if c.leader != "" {
		c.step(ctx, catchup.LeaderChanged{Peer: c.leader})
	}
	c.step(ctx, catchup.Ticked{}) // the plan's first effects ask everybody by gossip
	for _, p := range c.network.Bonds() {
		c.bonded(ctx, p)
	}
	c.checkIn(ctx, askDirectly)
	if !w.repair {
		c.convene(ctx)
	}
}

func (c *coordinator) checkIn(ctx actor.Context, d time.Duration) {
	if c.s.stopTick != nil {
		c.s.stopTick()
	}
	self, root, id := ctx.Self(), ctx.ActorSystem().Root, c.s.id
	c.s.stopTick = c.clock.AfterFunc(d, func() { root.Send(self, syncCheck{id}) })
}

// check runs each second: it asks bonded peers that gave no offer, and the voters
// how far they are.
func (c *coordinator) check(ctx actor.Context) {
	s := c.s
	if s.search != nil {
		c.searchOn(ctx, nil)
	} else if !c.over {
		c.checkOn(ctx)
	}
	if c.s == s {
		c.publish(true)
		c.checkIn(ctx, checkEvery)
	}
}

func (c *coordinator) checkOn(ctx actor.Context) {
	s := c.s
	elapsed := c.clock.Now().Sub(s.started)
	switch {
	case c.leader == c.self && !s.want.repair:
		c.finish(ctx, nil) // a leader has what is committed
		return
	case !s.began && s.want.until == 0 && s.want.behind > 0 && elapsed > probePatience:
		c.finish(ctx, nil) // nobody answers: Raft carries on by itself
		return
	case !s.want.repair && s.root.Blocks == 0 && elapsed > agreePatience:
		c.finish(ctx, c.noAgreement())
		return
	}
	for _, p := range c.network.Bonds() {
		if _, ok := s.offers[p]; !ok || s.want.repair || s.agree != nil && slices.Contains(s.agree.Voters(), p) {
			c.ask(ctx, p, nil)
		}
	}
	if !s.want.repair {
		c.waitForVoters(ctx)
	}
}

// bonded asks a peer that has come, unless it is one of very many: those answer
// the gossip, or are asked a little later.
func (c *coordinator) bonded(ctx actor.Context, peer codec.PeerID) {
	switch {
	case c.s == nil:
		return
	case len(c.fetchers) < askAtOnce:
		c.ask(ctx, peer, nil)
	default:
		c.checkIn(ctx, askDirectly)
	}
	if c.s.agree == nil && !c.s.want.repair && c.trusted(peer) {
		c.askVoters(ctx, peer)
	}
}

// offered hands an offer to the plan, and a voter's to those who agree.
func (c *coordinator) offered(ctx actor.Context, m offered) {
	s := c.s
	if s == nil || m.peer == c.self {
		return
	}
	if m.reply.Nonce == 0 { // the answer to the opening of a stream of this session
		m.reply.Nonce = s.id
	}
	if m.reply.Nonce != s.id {
		return
	}
	s.offers[m.peer] = m.reply
	if m.reply.Leader {
		c.leaderIs(ctx, m.peer)
	}
	c.step(ctx, catchup.PeerOffered{Peer: m.peer, Reply: m.reply})
	switch {
	case c.s != s || s.agree == nil:
	case s.search != nil:
		if m.peer == s.differ.Peer {
			c.searchOn(ctx, m.reply.Roots)
		}
	default:
		s.agree.Attested(m.peer, m.reply)
		c.consider(ctx)
	}
}

// restart goes on with a new plan, because the old one has finished.
func (c *coordinator) restart(ctx actor.Context) {
	want := c.s.want
	c.close(ctx)
	c.wanted(ctx, want)
}

func (c *coordinator) finish(ctx actor.Context, err error) {
	if c.s == nil {
		return
	}
	st := c.s.plan.Status()
	switch {
	case err != nil:
		c.log.Warn("catch-up failed", "session", c.s.id, "err", err)
	case st.Done > 0:
		c.log.Info("catch-up done", "session", c.s.id, "blocks", st.Done, "bytes", st.Bytes, "took", st.Elapsed.Round(time.Millisecond))
	}
	c.publishEnd(err)
	c.close(ctx)
	ctx.Send(c.asker, syncDone{err: err})
}

func (c *coordinator) close(ctx actor.Context) {
	c.quit()
	for _, pid := range c.fetchers {
		ctx.Unwatch(pid)
		ctx.Stop(pid)
	}
	c.fetchers = nil
	c.s = nil
}

func (c *coordinator) quit() {
	if c.s == nil {
		return
	}
	if c.s.stopWake != nil {
		c.s.stopWake()
	}
	if c.s.stopTick != nil {
		c.s.stopTick()
	}
}
