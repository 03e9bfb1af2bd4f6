package logmesh

import (
	"context"
	"fmt"
	"strings"

	"github.com/logmesh/logmesh/codec"
)

// Membership is who belongs to a group, as this node has applied it, and how far
// each has said that it is.
type Membership struct {
	Index   codec.Index    `json:"index"`  // of the entry that made it so
	Target  int            `json:"target"` // how many voters the group wants
	Leader  codec.PeerID   `json:"leader,omitempty"`
	Members []MemberStatus `json:"members"`
}

// Members is who belongs to the group now.
func (g *Group) Members() Membership {
	s := g.Status()
	return Membership{Index: s.ConfigIndex, Target: s.Target, Leader: s.Leader, Members: s.Members}
}

// Find is the member that name means: a peer id, the beginning or the end of one,
// or a raft id. If there is no such member, or more than one, the error is an
// *UnknownMemberError.
func (m Membership) Find(name string) (MemberStatus, error) {
	var found []MemberStatus
	for _, member := range m.Members {
		peer := string(member.Peer)
		if peer == name || member.RaftID.String() == name {
			return member, nil
		}
		if name != "" && (strings.HasPrefix(peer, name) || strings.HasSuffix(peer, name)) {
			found = append(found, member)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	e := &UnknownMemberError{Name: name, Ambiguous: len(found) > 1, Candidates: found}
	if len(found) == 0 {
		e.Candidates = m.Members
	}
	return MemberStatus{}, e
}

// UnknownMemberError says that a name means no member, or several.
type UnknownMemberError struct {
	Name       string
	Ambiguous  bool
	Candidates []MemberStatus // whom it could mean: all members if it means none
}

func (e *UnknownMemberError) Error() string {
	if e.Ambiguous {
		return fmt.Sprintf("%q means %d members", e.Name, len(e.Candidates))
	}
	return fmt.Sprintf("%q is not a member", e.Name)
}

// The changes of the membership below are asked of the leader, through any member,
// until they are done or ctx ends. Each may be asked again: what is done already
// succeeds. Errors: *RefusedError, with the reason, when the leader finds a change
// unsafe or impossible; *UnknownOutcomeError when ctx ended after a leader had it;
// ErrNoLeader when none had; ErrClosed, ErrRemoved.

// Remove takes a member out of the group, alive or not. A leader hands over first.
// It is refused if too few of the voters that would be left are alive to go on.
// The member is told, or learns it when it returns, and stops. It keeps the group
// key, and with an empty directory it can join again.
func (g *Group) Remove(ctx context.Context, id codec.RaftID) error {
	return g.change(ctx, &codec.Remove{RaftID: id})
}

// Promote makes a standby a voter without waiting until one is needed. When the
// group has the voters that it wants, instead names the one that becomes a standby
// for it; 0 means none, and is refused then: see SetVoters. An observer is never
// promoted, nor is a member that is silent, catching up or replaying.
func (g *Group) Promote(ctx context.Context, id, instead codec.RaftID) error {
	return g.change(ctx, &codec.Promote{RaftID: id, Instead: instead})
}

// Transfer hands leadership to a voter, and returns when it leads. A voter that is
// silent, catching up or replaying is refused.
func (g *Group) Transfer(ctx context.Context, id codec.RaftID) error {
	return g.change(ctx, &codec.Transfer{RaftID: id})
}

// SetVoters changes how many voters the group wants, 1 to codec.MaxVoters. It
// returns when that is decided; the leader then promotes standbys that are ready,
// or makes voters standbys, one at a time.
func (g *Group) SetVoters(ctx context.Context, voters int) error {
	if voters < 1 || voters > codec.MaxVoters {
		return &RefusedError{Reason: fmt.Sprintf("a target of %d voters: 1 to %d are allowed", voters, codec.MaxVoters)}
	}
	return g.change(ctx, &codec.Retarget{Voters: uint64(voters)})
}

func (g *Group) change(ctx context.Context, m codec.Message) error {
	config, err := g.actors.Change(ctx, m)
	if err != nil {
		return g.why(err)
	}
	// Who asks this node next sees the change, unless that takes too long.
	_, _ = g.Wait(ctx, func(s Status) bool { return s.ConfigIndex >= config.Index })
	return nil
}

// Leave ends this node's membership: it hands over leadership if it has it, is
// removed from the configuration, and stops. The group goes on without it. Errors
// are those of Remove; after one the node still takes part. ErrRemoved: it was no
// member any more.
func (g *Group) Leave(ctx context.Context) error {
	if err := g.actors.Leave(ctx); err != nil {
		return g.why(err)
	}
	return g.Close()
}
