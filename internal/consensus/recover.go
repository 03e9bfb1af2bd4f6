package consensus

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

// Survivor is the end of a log that lost its majority for good, as one member
// holds it.
type Survivor struct {
	Config codec.Configuration // at Last
	Last   codec.Cursor        // the newest entry, committed or not
	Term   codec.Term          // of hard state
	ID     codec.RaftID        // who goes on alone
	Peer   codec.PeerID
	Nonce  [codec.FoundingNonce]byte // fresh: each recovery is another log
}

// Recovery makes the entries with which s.ID goes on alone, to stand behind
// s.Last: it becomes a voter, everybody else is removed, and the last of them
// begins another log. Each is one change that Fold takes, and each leaves a
// voter, so later joiners apply them as any other. Their term is a new one,
// above every term of hard state and log. The configuration is that at their
// end.
func Recovery(s Survivor) ([]codec.Entry, codec.Configuration, error) {
	changes, err := s.changes()
	if err != nil {
		return nil, s.Config, fmt.Errorf("recover: %w", err)
	}
	c, term := s.Config, max(s.Term, s.Last.Term)+1
	entries := make([]codec.Entry, len(changes))
	for i, ch := range changes {
		e := codec.Entry{Index: s.Last.Index + 1 + codec.Index(i), Term: term, Kind: codec.KindConfig}
		if e.Data, err = ch.encode(); err == nil {
			c, err = Fold(c, e)
		}
		if err != nil {
			return nil, s.Config, fmt.Errorf("recover: %w", err)
		}
		entries[i] = e
	}
	return entries, c, nil
}

// changes are learners' removals first, so that there is room for the survivor,
// and the old voters' only when it is one itself.
func (s *Survivor) changes() ([]change, error) {
	self, member := s.Config.Member(s.ID)
	switch {
	case s.Config.Voters() == 0:
		return nil, fmt.Errorf("%w: the configuration at %v has no voter", errChange, s.Last)
	case member && self.Role == codec.RoleVoter && s.Config.Voters() == 1:
		return nil, ErrMajority
	}
	var learners, voters []change
	for _, m := range s.Config.Members {
		switch {
		case m.RaftID == s.ID:
		case m.Role == codec.RoleVoter:
			voters = append(voters, remove(m))
		default:
			learners = append(learners, remove(m))
		}
	}
	changes := learners
	self.RaftID, self.Peer = s.ID, s.Peer
	if self.Role != codec.RoleVoter {
		changes = append(changes, promote(self))
	}
	changes = append(changes, voters...)
	return append(changes, change{
		id: s.ID, typ: raftpb.ConfChangeAddNode,
		ctx: codec.ConfigContext{
			Peer: s.Peer, Role: codec.RoleVoter, Nonce: s.Nonce[:], Target: s.Config.Target, Recovers: s.Config.Log,
		},
	}), nil
}
