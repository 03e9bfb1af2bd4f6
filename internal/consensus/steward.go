package consensus

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

// steward keeps the membership, on the leader, each tick: at most one change is
// under way, and each is one single change.
func (c *Core) steward() error {
	if !c.leading() {
		return nil
	}
	c.watchSnapshots()
	c.look()
	c.handOver()
	return c.steer()
}

// steer proposes the most urgent change, if any is due and none is pending.
func (c *Core) steer() error {
	if !c.mayChange() {
		return nil
	}
	ch, why, ok := c.nextChange()
	if !ok {
		return nil
	}
	if err := c.proposeChange(ch); err != nil {
		c.logger.Debug("change not proposed", "why", why, "error", err)
		return c.fatal(err)
	}
	c.logger.Info("configuration proposed", "why", why, "member", ch.id.String())
	return nil
}

// fatal lets through only what is no passing refusal.
func (c *Core) fatal(err error) error {
	if errors.Is(err, errBusy) || errors.Is(err, ErrNoQuorum) || errors.Is(err, errUnsafe) {
		return nil
	}
	return err
}

// mayChange: a leader that committed in its term, with no change in the log
// that is not applied, and no hand-over under way.
func (c *Core) mayChange() bool {
	return c.leading() && c.applied >= c.pendingConfig && c.settled() && !c.transferring()
}

var (
	errUnsafe = errors.New("the change would cost the quorum")
	errBusy   = errors.New("it must wait: another change, a new leadership or a hand-over is under way")
)

// proposeChange proposes ch after a dry run on the configuration that it will
// apply to.
func (c *Core) proposeChange(ch change) error {
	if !c.mayChange() {
		return errBusy
	}
	data, err := ch.encode()
	if err != nil {
		return err
	}
	next, err := Fold(c.members, codec.Entry{Index: c.last() + 1, Term: c.term, Kind: codec.KindConfig, Data: data})
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsafe, err)
	}
	if !c.safe(next) {
		return errUnsafe
	}
	cc, err := ch.proto()
	if err != nil {
		return err
	}
	if err := c.rn.ProposeConfChange(cc); err != nil {
		if errors.Is(err, raft.ErrProposalDropped) {
			return ErrNoQuorum
		}
		return err
	}
	err = c.drain()
	c.pendingConfig = c.last()
	return err
}

// safe: the voters that were heard in this leadership are a majority of the
// configuration. A new leader takes nobody for alive.
func (c *Core) safe(config codec.Configuration) bool {
	return config.Voters() > 0 && config.Voters()-len(c.unheard(config)) >= config.Quorum()
}

// unheard lists the voters of a configuration without a word for two election
// timeouts, or none yet in this leadership.
func (c *Core) unheard(config codec.Configuration) (silent []codec.Member) {
	for _, m := range config.Members {
		if m.Role == codec.RoleVoter && !c.heardLately(m.RaftID) {
			silent = append(silent, m)
		}
	}
	return silent
}

// nextChange decides what is due, most urgent first.
func (c *Core) nextChange() (ch change, why string, ok bool) {
	for _, m := range c.members.Members {
		if c.superseded(m) && c.removable(m) {
			return remove(m), "an older id of its peer", true
		}
	}
	staying, dead := c.countVoters()
	ready, isReady := c.bestStandby()
	if staying < c.members.Target && isReady && ready.ticks >= c.cfg.ticks(readyShort) {
		return promote(ready.member), "below the target of voters", true
	}
	for _, m := range c.members.Members {
		if c.isLeaving(m.RaftID) && c.removable(m) {
			return remove(m), "it leaves, or was asked to be removed", true
		}
	}
	if staying > c.members.Target {
		return c.surplus(dead)
	}
	if dead != nil && isReady && ready.ticks >= c.cfg.ticks(readyLong) {
		return promote(ready.member), "a voter is dead", true
	}
	return change{}, "", false
}

// surplus demotes a voter that is one too many: the one that an operator named,
// or a dead one, else the last in order that is not us. A demoted voter is a
// standby again.
func (c *Core) surplus(dead *codec.Member) (change, string, bool) {
	if m, ok := c.members.Member(c.outgoing); ok && m.Role == codec.RoleVoter && m.RaftID != c.cfg.ID {
		return demote(m), "another takes its place", true
	}
	if dead != nil {
		return demote(*dead), "it is dead", true
	}
	for _, m := range slices.Backward(c.members.Members) {
		if m.Role == codec.RoleVoter && m.RaftID != c.cfg.ID {
			return demote(m), "above the target of voters", true
		}
	}
	return change{}, "", false
}

func remove(m codec.Member) change {
	return change{id: m.RaftID, typ: raftpb.ConfChangeRemoveNode, ctx: codec.ConfigContext{Peer: m.Peer}}
}

func promote(m codec.Member) change {
	return change{id: m.RaftID, typ: raftpb.ConfChangeAddNode, ctx: codec.ConfigContext{Peer: m.Peer, Role: codec.RoleVoter}}
}

func demote(m codec.Member) change {
	return change{id: m.RaftID, typ: raftpb.ConfChangeAddLearnerNode, ctx: codec.ConfigContext{Peer: m.Peer, Role: codec.RoleStandby}}
}

// removable: not us, and the quorum stays.
func (c *Core) removable(m codec.Member) bool {
	return m.RaftID != c.cfg.ID && c.safe(c.members.Without(m.RaftID))
}

// superseded: another incarnation of the member's peer is in the group. A peer
// runs one incarnation at a time, so the one that is heard is the present one,
// unless it was heard a moment ago and the other has joined since.
func (c *Core) superseded(m codec.Member) bool {
	if m.RaftID == c.cfg.ID {
		return false
	}
	if c.peer(m.RaftID).superseded {
		return true
	}
	for _, other := range c.members.Members {
		if other.Peer == m.Peer && other.RaftID != m.RaftID && !c.active(m.RaftID) && c.peerHeard(other.RaftID) && !c.peer(other.RaftID).superseded {
			return true
		}
	}
	return false
}

func (c *Core) peerHeard(id codec.RaftID) bool {
	return id == c.cfg.ID || c.peer(id).heardAt > c.since && c.active(id)
}

func (c *Core) isLeaving(id codec.RaftID) bool {
	until, ok := c.leaving[id]
	return ok && c.now <= until
}

// countVoters counts the voters that stay, and finds one that is dead.
func (c *Core) countVoters() (staying int, dead *codec.Member) {
	for _, m := range c.members.Members {
		if m.Role != codec.RoleVoter || c.isLeaving(m.RaftID) || c.superseded(m) {
			continue
		}
		staying++
		if dead == nil && c.silent(m.RaftID) >= c.cfg.ticks(c.cfg.ReplaceDead) {
			dead = &m
		}
	}
	return staying, dead
}

type standby struct {
	member codec.Member
	ticks  uint64 // ready for so long
}

// bestStandby is the standby that is ready for longest.
func (c *Core) bestStandby() (best standby, ok bool) {
	for _, m := range c.members.Members {
		if m.Role != codec.RoleStandby || c.isLeaving(m.RaftID) || c.superseded(m) {
			continue
		}
		if ticks, ready := c.readyFor(m.RaftID); ready && (!ok || ticks > best.ticks) {
			best, ok = standby{m, ticks}, true
		}
	}
	return best, ok
}
