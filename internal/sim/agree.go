package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// Whose word a session counts, and what they agree on, as in package actors.

const (
	openTimeout   = 10 * time.Second // of the question who votes
	voterPatience = 10 * time.Second // without a majority after which a voter counts itself, a joiner its own ledger
	agreePatience = time.Minute      // without any agreed root after which a session fails
)

var errNoAgreement = errors.New("no majority of the voters states one root")

// trusts reports whether a peer is one that this member was told to join: its
// ticket names everybody but the observers.
func (m *member) trusts(peer codec.PeerID) bool {
	return peer != "" && m.w.byPeer[peer].wish != codec.RoleObserver
}

// convene fixes the voters whose majority decides in this session: those of the
// newest configuration here that has us. A node that is no member asks the peers
// that it was told to join.
func (c *coordinator) convene() {
	config := c.m.ledger.HeadConfig()
	if _, applied := c.m.ledger.RaftApplied(); applied.Index > config.Index {
		config = applied
	}
	if _, member := config.Member(c.m.ledger.RaftID()); member || config.Voters() > 0 && c.m.w.time.now-c.s.started > voterPatience {
		c.count(config)
		return
	}
	for _, p := range c.m.bondedPeers() {
		if c.m.trusts(p) {
			c.askVoters(p)
		}
	}
}

// askVoters asks a peer for the configuration, and takes the first that is
// stated.
func (c *coordinator) askVoters(p codec.PeerID) {
	s := c.s
	if p == "" || s.asking[p] {
		return
	}
	s.asking[p] = true
	c.m.w.net.call(c.m, c.m.w.byPeer[p], &codec.Members{}, openTimeout, func(a codec.Answer, err error) {
		if c.s != s || s.root.Blocks > 0 {
			return
		}
		delete(s.asking, p)
		if err == nil && a.Status == codec.CallOK && a.Config.Voters() > 0 {
			c.m.w.reached["voters asked"]++
			c.count(a.Config)
		}
	})
}

// count begins to count the voters of config.
func (c *coordinator) count(config codec.Configuration) {
	var voters []codec.PeerID
	for _, m := range config.Members {
		if m.Role == codec.RoleVoter {
			voters = append(voters, m.Peer)
		}
	}
	if slices.Equal(voters, []codec.PeerID{c.m.peer}) {
		c.finish(nil) // nothing is decided without us
		return
	}
	s := c.s
	s.agree = catchup.NewAgreement(voters, c.m.peer)
	for _, p := range s.agree.Voters() {
		if r, ok := s.offers[p]; ok {
			s.agree.Attested(p, r)
		}
	}
	c.consider()
}

// consider asks for what is missing to agree, and moves the session to what is
// agreed.
func (c *coordinator) consider() {
	s := c.s
	if d := s.agree.Dispute(); d != nil {
		c.m.w.disputed(c.m, d)
	}
	for _, q := range s.agree.Questions() {
		if size := q.Sizes[0]; s.asked[q.Peer] != size {
			s.asked[q.Peer] = size
			c.ask(q.Peer, q.Sizes)
		}
	}
	size, enough := s.agree.Size()
	root, _, agreed := s.agree.Agreed()
	switch {
	case enough && !s.began && s.want.until == 0 && s.want.behind > 0 && size <= s.from+s.want.behind:
		c.finish(nil) // Raft ships the rest
	case s.agree.Empty() && s.from == 0 && s.want.until == 0:
		c.finish(nil) // nothing is sealed yet
	case agreed && root.Blocks < s.from && enough && size <= s.from:
		c.arrived() // we have more than they agree on
	case agreed && root.Blocks >= s.from:
		c.aim(root)
	}
}

// aim moves the plan's target to an agreed root.
func (c *coordinator) aim(root codec.SizedRoot) {
	s := c.s
	s.began = true
	switch {
	case s.finished:
		c.arrived() // a new plan goes on, if need be
	case root.Blocks > s.root.Blocks:
		s.root = root
		c.step(catchup.RootAgreed{Blocks: root.Blocks, Root: root.Root})
	}
}

// arrived ends the session when the ledger has all that is agreed, under the
// agreed root, and that is far enough: to the index that was asked for, and not
// more than slack blocks behind the voters.
func (c *coordinator) arrived() {
	s := c.s
	if s.root.Blocks > 0 {
		ours, err := c.m.ledger.RootAt(s.root.Blocks)
		if err != nil {
			c.m.fail(err)
			return
		}
		if ours != s.root.Root {
			c.m.w.violate("another root", "member %d: at %d blocks", c.m.number, s.root.Blocks)
			return
		}
	}
	agreed, _, _ := s.agree.Agreed()
	size, _ := s.agree.Size()
	missing := c.m.ledger.HeadCursor().Index < s.want.until
	switch {
	case missing && agreed.Blocks <= s.root.Blocks, agreed.Blocks <= s.root.Blocks && size > s.root.Blocks+slack:
		// Not sealed or not agreed that far yet: check asks again.
	case missing, size > s.root.Blocks+slack:
		c.restart()
	default:
		c.finish(nil)
	}
}

// waitForVoters counts the member itself when a majority is silent for long.
func (c *coordinator) waitForVoters() {
	s, now := c.s, c.m.w.time.now
	if s.agree == nil {
		c.convene()
		return
	}
	if _, enough := s.agree.Size(); enough {
		s.silent = 0
	} else if s.silent == 0 {
		s.silent = now
	}
	if s.silent > 0 && now-s.silent > voterPatience {
		c.m.w.reached["counts itself"]++
		s.agree.CountSelf()
	}
	if s.silent > 0 && now-s.silent > 2*voterPatience && s.root.Blocks == 0 {
		c.askVoters(c.leader) // ours may all have been replaced while we were away
	}
	if c.s == s {
		c.consider()
	}
}
