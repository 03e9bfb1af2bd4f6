package logmesh

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/p2p"
)

// Status is one picture of the group as this node sees it now.
func (g *Group) Status() Status {
	v := g.actors.View()
	s := Status{
		Network: g.node.cfg.Network, Group: g.cfg.Name, Machine: g.machine,
		Log: v.Log, Peer: g.node.id, RaftID: v.RaftID, Addrs: g.node.Addrs(),
		Leader: v.Leader, Term: v.Raft.Term, Committed: max(v.Raft.Commit, v.Head.Last), Applied: v.Applied, Last: max(v.Last, v.Head.Last),
		Digest: v.Digest, BlockDigest: v.Block.Digest, BlockEnd: v.BlockEnd,
		Blocks: v.Head.Blocks, Missing: v.Missing, Root: v.Head.Root, Horizon: v.Horizon, DiskBytes: v.Disk, ServeRate: v.ServeRate,
		ConfigIndex: v.Config.Index, Target: v.Config.Target, Bonds: v.Bonds, Members: g.members(v), Alerts: []string{},
		NoQuorum: g.noQuorum(),
	}
	s.Phase, s.Role = g.phase(v), roleOf(v)
	if err := g.Err(); err != nil {
		s.Error = err.Error()
	}
	if s.Phase == PhaseReplaying {
		s.Replay = replayStatus(v)
	}
	if v.Sync != nil {
		sync := syncStatus(v)
		if sync.Finished {
			s.LastSync = sync
		} else {
			s.Sync = sync
		}
	}
	s.Detail = g.detail(v, s)
	s.Alerts = append(alerts(v, s), g.endedLog()...)
	return s
}

// level is how many entries a machine may be behind and count as level.
const level = 1024

func (g *Group) phase(v actors.View) Phase {
	select {
	case <-g.actors.Done():
		if errors.Is(g.actors.Err(), actors.ErrRemoved) || !v.Member && v.Open {
			return PhaseRemoved
		}
		return PhaseStopped
	default:
	}
	if v.Missing > 0 {
		return PhaseRepairing
	}
	syncing := v.Sync != nil && !v.Sync.Finished
	switch {
	case syncing && v.Sync.Plan.Needed > 0 && (!v.Open || v.Sync.Plan.Needed > v.Sync.Plan.Done):
		return PhaseCatchingUp
	case !v.Open || !v.Member:
		return PhaseJoining
	case v.Applied+level < v.Target || v.Applied+level < v.Raft.Commit:
		return PhaseReplaying
	}
	return PhaseOnline
}

func roleOf(v actors.View) string {
	switch {
	case v.Lead:
		return "leader"
	case v.Member:
		return v.Role.String()
	}
	return "none"
}

func (g *Group) detail(v actors.View, s Status) string {
	switch {
	case s.Phase == PhaseReplaying:
		return fmt.Sprintf("replaying %d of %d", v.Applied, max(v.Target, v.Raft.Commit))
	case s.Phase == PhaseRepairing && len(v.Bonds) == 0:
		return repairing(v) + "; " + g.whyNoBond()
	case s.Phase == PhaseRepairing:
		return repairing(v)
	case s.Phase == PhaseJoining && len(v.Bonds) == 0:
		return g.whyNoBond()
	case s.Phase == PhaseJoining && v.Open:
		return "asking to be added to the group"
	case s.Phase == PhaseJoining:
		return "asking peers what they have"
	case s.Phase == PhaseOnline && s.NoQuorum != nil:
		return "no quorum: writes and strong reads wait"
	case s.Phase == PhaseOnline && s.Leader == "":
		return "no leader: writes and strong reads wait"
	}
	return ""
}

func repairing(v actors.View) string {
	return fmt.Sprintf("%d damaged blocks are missing, from index %d on: fetching them from peers", v.Missing, v.Whole+1)
}

func (g *Group) whyNoBond() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	reasons := make([]string, 0, len(g.refused))
	for _, err := range g.refused {
		reasons = append(reasons, err.Error())
	}
	if len(reasons) == 0 {
		return "no peer of the group answers yet"
	}
	slices.Sort(reasons)
	return reasons[0]
}

// endedLog tells, once, that the group was recovered without this node. That a
// peer of ours holds such a log is its trouble: the log tells it here.
func (g *Group) endedLog() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for _, err := range g.refused {
		var e *p2p.RefusedError
		if errors.As(err, &e) && e.OursEnded != 0 {
			out = append(out, fmt.Sprintf("the group was recovered at index %d, without this node: %v", e.OursEnded, err))
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 1)]
}

func (g *Group) members(v actors.View) []MemberStatus {
	out := make([]MemberStatus, 0, len(v.Config.Members))
	for _, m := range v.Config.Members {
		s := MemberStatus{Peer: m.Peer, RaftID: m.RaftID, Role: m.Role, Addrs: m.Addrs, Leader: m.Peer == v.Leader, Self: m.Peer == g.node.id, Trails: -1}
		s.Connected = s.Self || slices.Contains(v.Bonds, m.Peer)
		if s.Self {
			s.Applied, s.Trails = v.Applied, trails(v.Raft.Commit, v.Applied)
		}
		if p, ok := v.Said[m.RaftID]; ok && !s.Self {
			s.Applied, s.Trails = p.MachineApplied, trails(v.Raft.Commit, p.MachineApplied)
			s.PerSec = p.PerSec
		}
		for _, p := range v.Raft.Peers {
			if p.ID == m.RaftID {
				s.State = stateOf(p)
			}
		}
		out = append(out, s)
	}
	return out
}

func stateOf(p consensus.PeerStatus) string {
	if !p.Active {
		return "silent"
	}
	return p.State
}

func trails(commit, applied codec.Index) int64 {
	if applied >= commit {
		return 0
	}
	return int64(commit - applied)
}

func replayStatus(v actors.View) *ReplayStatus {
	of := max(v.Target, v.Raft.Commit)
	r := &ReplayStatus{Index: v.Applied, Of: of, PerSec: v.Replaying.PerSec, Elapsed: v.Replaying.Elapsed, Left: -1}
	if r.PerSec > 0 {
		r.Left = time.Duration(float64(of-v.Applied) / r.PerSec * float64(time.Second))
	}
	return r
}

func syncStatus(v actors.View) *SyncStatus {
	p := v.Sync.Plan
	s := &SyncStatus{
		Session: v.Sync.Session, From: p.From, Done: p.Done, Needed: p.Needed, Entries: v.Sync.Entries,
		Bytes: p.Bytes, Doubled: p.Doubled, PerSec: p.PerSec, Left: p.Left, Elapsed: p.Elapsed,
		GroupPerSec: p.Grows, Counts: syncCounts(v.Sync),
		Finished: v.Sync.Finished, Waiting: string(p.Waiting), Peers: []SyncPeer{},
		Root: v.Sync.Root.Root, RootOf: v.Sync.Root.Blocks, ProvedBy: v.Sync.ProvedBy, Voters: v.Sync.Voters,
	}
	if !s.Finished && s.GroupPerSec > s.PerSec && s.PerSec > 0 {
		s.Waiting = fmt.Sprintf("the group writes %.1f MB/s, faster than the %.1f MB/s that come in here", s.GroupPerSec/1e6, s.PerSec/1e6)
	}
	if !s.Finished && s.RootOf == 0 && len(v.Sync.Silent) > 0 {
		s.Waiting = "a majority of the voters has to state the log's root; not heard: " + shortPeers(v.Sync.Silent)
	}
	if v.Sync.Err != nil {
		s.Error = v.Sync.Err.Error()
	}
	for _, peer := range p.Peers {
		s.Peers = append(s.Peers, syncPeer(peer))
	}
	return s
}

func shortPeers(peers []codec.PeerID) string {
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = p.Short()
	}
	return strings.Join(names, ", ")
}

func syncCounts(v *actors.SyncView) SyncCounts {
	p := v.Plan.Stats
	c := SyncCounts{
		Blocks:      map[string]uint64{"new": p.Arrived, "doubled": p.Again},
		LeaderBytes: p.LeaderBytes, OtherBytes: p.OtherBytes,
		Hedges: p.Hedges, HedgedBlocks: p.HedgedBlocks, Steals: p.Steals, GivenUp: p.GivenUp,
		Rests: p.Rests, FailedProofs: p.FailedProofs, StrayFrames: v.Stray,
		Idle: map[string]time.Duration{}, Waited: map[string]time.Duration{},
	}
	for why, n := range p.Dropped {
		c.Blocks[string(why)] = n
	}
	for why, d := range p.Idle {
		c.Idle[string(why)] = d
	}
	for why, d := range p.Waited {
		c.Waited[string(why)] = d
	}
	return c
}

func syncPeer(p catchup.PeerStatus) SyncPeer {
	s := SyncPeer{
		Peer: p.Peer, Leader: p.Leader, Blocks: p.Blocks, Bytes: p.Bytes, PerSec: p.Rate, State: p.State,
		Doubled: p.Doubled, RTT: p.RTT, Rests: p.Rests, FailedProofs: p.Failed,
	}
	if p.Err != nil {
		s.Error = p.Err.Error()
	}
	return s
}

// alerts is what a person should look at.
func alerts(v actors.View, s Status) []string {
	out := []string{}
	if s.Error != "" {
		out = append(out, s.Error)
	}
	if v.Missing > 0 {
		out = append(out, repairing(v)+"; until then this node does not vote, and reads here are as of an earlier index")
	}
	if v.Sync != nil && v.Sync.Dispute != nil {
		out = append(out, v.Sync.Dispute.Error())
	}
	if v.Full {
		out = append(out, "disk full: nothing is acknowledged here until space is freed")
	}
	switch {
	case s.NoQuorum != nil:
		out = append(out, s.NoQuorum.String())
	case v.Open && v.Member && s.Leader == "":
		out = append(out, "no leader")
	}
	for _, m := range s.Members {
		if !m.Connected {
			out = append(out, fmt.Sprintf("%s %s is not connected", m.Role, m.Peer.Short()))
		}
	}
	for _, m := range v.Config.Members {
		d := v.Said[m.RaftID].Digest
		if !d.Digest.IsZero() && d.Block == v.Block.Block && d.Digest != v.Block.Digest {
			out = append(out, fmt.Sprintf("%s has another state at the end of block %d: the machine is not deterministic, or a disk lies", m.Peer, d.Block))
		}
	}
	return out
}
