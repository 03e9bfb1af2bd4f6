package consensus

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/logmesh/logmesh/codec"
)

type (
	// Status is one picture of a Core.
	Status struct {
		ID, Leader codec.RaftID // Leader 0: none known
		Lead       bool
		State      string // follower, candidate, leader, precandidate
		Term       codec.Term
		Commit     codec.Index
		Applied    codec.Index
		Last       codec.Index
		Config     codec.Configuration
		Peers      []PeerStatus // on the leader: of the other members, by id
	}

	// PeerStatus is what a leader knows of a member.
	PeerStatus struct {
		ID              codec.RaftID
		Match, Next     codec.Index
		State           string // probe, replicate, snapshot
		Active          bool   // heard within two election timeouts
		PendingSnapshot codec.Index
		MachineApplied  codec.Index // as it said
		Digest          codec.BlockDigest
		Heard           bool // it said so in this leadership
	}
)

var stateNames = map[raft.StateType]string{
	raft.StateFollower: "follower", raft.StateCandidate: "candidate",
	raft.StateLeader: "leader", raft.StatePreCandidate: "precandidate",
}

// Status is the Core's state now.
func (c *Core) Status() Status {
	s := Status{
		ID: c.cfg.ID, Leader: c.lead, Lead: c.leading(), State: stateNames[c.state],
		Term: c.term, Commit: c.commit, Applied: c.applied, Last: c.last(), Config: c.members,
	}
	if !c.leading() {
		return s
	}
	c.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		rid := codec.RaftID(id)
		if rid == c.cfg.ID {
			return
		}
		p := c.peer(rid)
		s.Peers = append(s.Peers, PeerStatus{
			ID: rid, Match: codec.Index(pr.Match), Next: codec.Index(pr.Next), State: stateName(pr.State),
			Active: c.active(rid), PendingSnapshot: codec.Index(pr.PendingSnapshot),
			MachineApplied: p.said.MachineApplied, Digest: p.said.Digest, Heard: p.saidAt != 0,
		})
	})
	return s
}

// stateName is the library's word for a follower's state, shortened.
func stateName(s tracker.StateType) string {
	switch s {
	case tracker.StateProbe:
		return "probe"
	case tracker.StateReplicate:
		return "replicate"
	}
	return "snapshot"
}
