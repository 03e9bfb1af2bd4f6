package actors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// Whose word a session counts, and what they agree on.

const (
	voterPatience = 10 * time.Second // without a majority after which a voter counts itself, a joiner its own ledger
	agreePatience = time.Minute      // without any agreed root after which a session fails
	searchTime    = 3 * time.Second  // for the first block that differs
)

// stated is what a trusted peer says of the configuration.
type stated struct {
	session uint64
	peer    codec.PeerID
	answer  codec.Answer
	err     error
}

// convene fixes the voters whose majority decides in this session: those of the
// newest configuration here that has us. A node that is no member asks the peers
// that it was told to join.
func (c *coordinator) convene(ctx actor.Context) {
	config := c.ledger.HeadConfig()
	if _, applied := c.ledger.RaftApplied(); applied.Index > config.Index {
		config = applied
	}
	if _, member := config.Member(c.ledger.RaftID()); member || config.Voters() > 0 && c.clock.Now().Sub(c.s.started) > voterPatience {
		c.count(ctx, config)
		return
	}
	for _, p := range c.network.Bonds() {
		if c.trusted(p) {
			c.askVoters(ctx, p)
		}
	}
}

// askVoters asks a peer for the configuration.
func (c *coordinator) askVoters(ctx actor.Context, p codec.PeerID) {
	self, root, s := ctx.Self(), ctx.ActorSystem().Root, c.s
	if p == "" || s.asking[p] {
		return
	}
	s.asking[p] = true
	go func() {
		call, cancel := context.WithTimeout(c.ctx, openTimeout)
		defer cancel()
		m := stated{session: s.id, peer: p}
		m.answer, m.err = c.network.Call(call, p, &codec.Members{})
		root.Send(self, m)
	}()
}

// stated takes the first configuration that a peer states which was asked.
func (c *coordinator) stated(ctx actor.Context, m stated) {
	if c.s == nil || c.s.id != m.session || c.s.root.Blocks > 0 {
		return
	}
	delete(c.s.asking, m.peer)
	if m.err == nil && m.answer.Status == codec.CallOK && m.answer.Config.Voters() > 0 {
		c.network.Know(m.answer.Config.Members) // gossip may never name them
		c.count(ctx, m.answer.Config)
	}
}

// count begins to count the voters of config.
func (c *coordinator) count(ctx actor.Context, config codec.Configuration) {
	var voters []codec.PeerID
	for _, m := range config.Members {
		if m.Role == codec.RoleVoter {
			voters = append(voters, m.Peer)
		}
	}
	s := c.s
	s.agree = catchup.NewAgreement(voters, c.self)
	if c.trust.Blocks > 0 {
		s.agree.Trust(c.trust)
	}
	if slices.Equal(voters, []codec.PeerID{c.self}) {
		c.finish(ctx, nil) // nothing is decided without us
		return
	}
	for _, p := range s.agree.Voters() {
		if r, ok := s.offers[p]; ok {
			s.agree.Attested(p, r)
		}
	}
	c.consider(ctx)
}

// consider asks for what is missing to agree, and moves the session to what is
// agreed.
func (c *coordinator) consider(ctx actor.Context) {
	s := c.s
	if d := s.agree.Dispute(); d != nil && c.dispute == nil {
		c.dispute = d
		c.log.Error("members hold different logs", "err", d)
	}
	for _, q := range s.agree.Questions() {
		if size := q.Sizes[0]; s.asked[q.Peer] != size {
			s.asked[q.Peer] = size
			c.ask(ctx, q.Peer, q.Sizes)
		}
	}
	size, enough := s.agree.Size()
	root, _, agreed := s.agree.Agreed()
	switch {
	case enough && !s.began && s.want.until == 0 && s.want.behind > 0 && size <= s.from+s.want.behind:
		c.finish(ctx, nil) // Raft ships the rest
	case s.agree.Empty() && s.from == 0 && s.want.until == 0:
		c.finish(ctx, nil) // nothing is sealed yet
	case agreed && root.Blocks < s.from && enough && size <= s.from:
		c.arrived(ctx) // we have more than they agree on
	case agreed && root.Blocks >= s.from:
		c.aim(ctx, root)
	}
}

// aim moves the plan's target to an agreed root.
func (c *coordinator) aim(ctx actor.Context, root codec.SizedRoot) {
	s := c.s
	s.began = true
	if root.Blocks <= s.root.Blocks {
		if s.finished {
			c.arrived(ctx)
		}
		return
	}
	if s.root.Blocks == 0 && root.Blocks > s.from {
		c.log.Info("catch-up begins", "why", s.want.why, "from_block", s.from, "to_block", root.Blocks, "session", s.id)
	}
	if s.finished {
		c.arrived(ctx) // a new plan goes on
		return
	}
	s.root = root
	c.step(ctx, catchup.RootAgreed{Blocks: root.Blocks, Root: root.Root})
}

// arrived ends the session when the ledger has all that is agreed, and that is
// far enough: to the index that was asked for, and not more than slack blocks
// behind the voters. Our own tree must have the agreed root: the blocks that we
// had before may be of another history.
func (c *coordinator) arrived(ctx actor.Context) {
	s := c.s
	if s.root.Blocks > 0 {
		ours, err := c.ledger.RootAt(s.root.Blocks)
		if err != nil {
			c.fail(fmt.Errorf("compare with the agreed root: %w", err))
			return
		}
		if ours != s.root.Root {
			c.differs(ctx, ours)
			return
		}
	}
	agreed, _, _ := s.agree.Agreed()
	size, _ := s.agree.Size()
	missing := c.ledger.HeadCursor().Index < s.want.until
	switch {
	case missing && agreed.Blocks <= s.root.Blocks, agreed.Blocks <= s.root.Blocks && size > s.root.Blocks+slack:
		// Not sealed or not agreed that far yet: check asks again.
	case missing, size > s.root.Blocks+slack:
		c.restart(ctx)
	default:
		c.finish(ctx, nil)
	}
}

// differs looks for the first block in which our log is another than the voters'.
func (c *coordinator) differs(ctx actor.Context, ours codec.Hash) {
	s := c.s
	c.over = true // nothing begins any more, and nobody is told that we are done
	s.search = catchup.NewSearch(s.root.Blocks)
	s.differ = &RootError{Blocks: s.root.Blocks, Ours: ours, Theirs: s.root.Root}
	s.searchEnd = c.clock.Now().Add(searchTime)
	for _, p := range s.agree.Voters() {
		if r, ok := s.offers[p]; ok && r.Head.Blocks >= s.root.Blocks {
			s.differ.Peer = p
			break
		}
	}
	c.searchOn(ctx, nil)
}

// searchOn takes roots of the peer that is asked, and asks on or tells.
func (c *coordinator) searchOn(ctx actor.Context, roots []codec.SizedRoot) {
	s := c.s
	s.search.Answered(roots, func(n uint64) (codec.Hash, bool) {
		root, err := c.ledger.RootAt(n)
		return root, err == nil
	})
	if block, found := s.search.Found(); found {
		s.differ.First, s.differ.Found = block, true
		c.diverged(ctx)
		return
	}
	if s.differ.Peer == "" || c.clock.Now().After(s.searchEnd) {
		c.diverged(ctx)
		return
	}
	c.ask(ctx, s.differ.Peer, s.search.Sizes())
}

// diverged takes back what the session stored, and stops the group. No other
// session begins meanwhile. The failure is told first: replay may stumble over
// blocks that go.
func (c *coordinator) diverged(ctx actor.Context) {
	err := c.s.differ
	c.fail(err)
	if dropErr := c.ledger.Drop(c.s.from); dropErr != nil {
		c.log.Error("blocks of a log that diverges could not be taken back", "from_block", c.s.from, "err", dropErr)
	}
	c.finish(ctx, err)
}

func (c *coordinator) noAgreement() error {
	e := &AgreementError{}
	if c.s.agree != nil {
		e.Voters, e.Silent = c.s.agree.Voters(), c.s.agree.Silent()
	}
	return e
}

// waitForVoters counts ourselves, or gives up, when a majority is silent for
// long.
func (c *coordinator) waitForVoters(ctx actor.Context) {
	s := c.s
	now := c.clock.Now()
	if s.agree == nil {
		c.convene(ctx)
		return
	}
	if _, enough := s.agree.Size(); enough { // of two voters nobody is silent, and yet it is not enough
		s.silent = time.Time{}
	} else if s.silent.IsZero() {
		s.silent = now
	}
	if !s.silent.IsZero() && now.Sub(s.silent) > voterPatience {
		s.agree.CountSelf()
	}
	if !s.silent.IsZero() && now.Sub(s.silent) > 2*voterPatience && s.root.Blocks == 0 {
		c.askVoters(ctx, c.leader) // ours may all have been replaced while we were away
	}
	c.consider(ctx)
}
