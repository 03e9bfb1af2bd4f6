package actors

import (
	"fmt"
	"slices"
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
	stored   uint64 // entries
	target   uint64
	led      time.Time // when an offer last named its sender the leader
	began    bool      // a target was set
	verify   uint64    // tree size being compared with the leader's; 0: still fetching
	finished bool      // the plan has finished
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
		Session: c.nonce(), Self: c.self, From: c.ledger.Head().Blocks, Check: checkBlock,
		Lease: c.sessions << 32, // what an earlier session's fetchers still say is recognised
	}
	plan.Seed = plan.Session
	if w.repair && !c.aimAtHole(&plan) {
		ctx.Send(w.reply, syncDone{})
		return
	}
	c.fetchers = map[codec.PeerID]*actor.PID{}
	c.s = &syncSession{
		id: plan.Session, want: w, started: c.clock.Now(), led: c.clock.Now(), from: plan.From,
		offers: map[codec.PeerID]codec.AvailabilityReply{}, plan: catchup.New(plan),
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
}

// checkBlock looks at a block before the plan takes it.
func checkBlock(_ uint64, data []byte) error {
	var b codec.Block
	return codec.DecodeBlock(data, &b)
}

func (c *coordinator) checkIn(ctx actor.Context, d time.Duration) {
	if c.s.stopTick != nil {
		c.s.stopTick()
	}
	self, root, id := ctx.Self(), ctx.ActorSystem().Root, c.s.id
	c.s.stopTick = c.clock.AfterFunc(d, func() { root.Send(self, syncCheck{id}) })
}

// check runs each second: it asks bonded peers that gave no offer, or everybody
// while nobody says to lead, follows a leader whose head has moved, and asks for
// the root again.
func (c *coordinator) check(ctx actor.Context) {
	s := c.s
	if c.leader == c.self {
		c.finish(ctx, nil) // a leader has what is committed
		return
	}
	leaderless := s.want.repair || c.clock.Now().Sub(s.led) > leaderSilent
	for _, p := range c.network.Bonds() {
		if _, ok := s.offers[p]; !ok || leaderless {
			c.ask(ctx, p, nil)
		}
	}
	if s.verify == 0 && c.leader != "" {
		c.ask(ctx, c.leader, nil) // for how far its head has moved
	}
	if !s.began && s.want.until == 0 && s.want.behind > 0 && c.clock.Now().Sub(s.started) > probePatience {
		c.finish(ctx, nil) // nobody answers: Raft carries on by itself
		return
	}
	if s.verify > 0 || s.finished {
		c.compare(ctx)
	}
	if c.s != nil {
		c.publish(true)
		c.checkIn(ctx, verifyEvery)
	}
}

// bonded asks a peer that has come, unless it is one of very many: those answer
// the gossip, or are asked a little later.
func (c *coordinator) bonded(ctx actor.Context, peer codec.PeerID) {
	switch {
	case c.s == nil:
	case len(c.fetchers) < askAtOnce:
		c.ask(ctx, peer, nil)
	default:
		c.checkIn(ctx, askDirectly)
	}
}

// offered hands an offer to the plan; the leader's also says how far to go, and
// whether our blocks are its own.
func (c *coordinator) offered(ctx actor.Context, m offered) {
	if c.s == nil || m.peer == c.self {
		return
	}
	if m.reply.Nonce == 0 { // the answer to the opening of a stream of this session
		m.reply.Nonce = c.s.id
	}
	if m.reply.Nonce != c.s.id {
		return
	}
	c.s.offers[m.peer] = m.reply
	if m.reply.Leader {
		c.s.led = c.clock.Now()
		c.leaderIs(ctx, m.peer)
	}
	c.step(ctx, catchup.PeerOffered{Peer: m.peer, Reply: m.reply})
	if m.reply.Leader && m.peer == c.leader && c.s != nil && !c.s.want.repair {
		c.leaderOffered(ctx, m.reply)
	}
}

func (c *coordinator) leaderOffered(ctx actor.Context, r codec.AvailabilityReply) {
	if c.s == nil {
		return
	}
	s := c.s
	if s.verify > 0 {
		c.verified(ctx, r) // if it does not say the root, check asks again
		return
	}
	if !s.began && s.want.until == 0 && s.want.behind > 0 && r.Head.Blocks <= s.from+s.want.behind {
		c.finish(ctx, nil) // Raft ships the rest
		return
	}
	s.began = true
	if r.Head.Blocks > s.target {
		if s.target == 0 && r.Head.Blocks > s.from {
			c.log.Info("catch-up begins", "why", s.want.why, "from_block", s.from, "to_block", r.Head.Blocks, "session", s.id)
		}
		s.target = r.Head.Blocks
		if s.finished {
			return // what is here is compared first; a new session goes on
		}
		c.step(ctx, catchup.TargetMoved{Blocks: s.target})
		return
	}
	if s.target == 0 || c.ledger.Head().Blocks >= s.target {
		s.finished = true
		c.compare(ctx)
	}
}

// compare asks the leader for its root at our size.
func (c *coordinator) compare(ctx actor.Context) {
	head := c.ledger.Head()
	if head.Blocks == 0 {
		c.reached(ctx, 0)
		return
	}
	c.s.verify = head.Blocks
	if c.leader != "" {
		c.ask(ctx, c.leader, []uint64{head.Blocks})
	}
}

// verified looks for the root that compare asked for.
func (c *coordinator) verified(ctx actor.Context, r codec.AvailabilityReply) {
	i := slices.IndexFunc(r.Roots, func(x codec.SizedRoot) bool { return x.Blocks == c.s.verify })
	if i < 0 {
		return
	}
	theirs := r.Roots[i]
	ours, err := c.ledger.RootAt(theirs.Blocks)
	switch {
	case err != nil:
		c.fail(fmt.Errorf("compare with the leader: %w", err))
	case ours != theirs.Root:
		c.diverged(ctx, theirs, ours)
	default:
		c.reached(ctx, r.Head.Blocks)
	}
}

// diverged takes back what the session stored, and stops the group. No other
// session begins meanwhile. The failure is told first: replay may stumble over
// blocks that go.
func (c *coordinator) diverged(ctx actor.Context, theirs codec.SizedRoot, ours codec.Hash) {
	err := &RootError{Blocks: theirs.Blocks, Ours: ours, Theirs: theirs.Root, Leader: c.leader}
	c.over = true
	c.fail(err)
	if dropErr := c.ledger.Drop(c.s.from); dropErr != nil {
		c.log.Error("blocks of a log that diverges could not be taken back", "from_block", c.s.from, "err", dropErr)
	}
	c.finish(ctx, err)
}

// reached ends the session, unless it has to go further: to the index that was
// asked for, or after a leader that has moved on by more than slack blocks.
func (c *coordinator) reached(ctx actor.Context, leader uint64) {
	missing := c.ledger.HeadCursor().Index < c.s.want.until
	switch {
	case missing && leader <= c.s.verify:
		// The leader has not sealed that far itself: check asks again.
	case missing, leader > c.s.verify+slack:
		c.restart(ctx)
	default:
		c.finish(ctx, nil)
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
