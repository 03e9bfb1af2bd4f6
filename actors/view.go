package actors

import (
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
	"github.com/logmesh/logmesh/internal/consensus"
)

// View is one picture of a group, put together from what its actors publish.
type View struct {
	Open      bool // Raft runs on this node
	Lead      bool
	Leader    codec.PeerID
	Member    bool // the configuration has this node
	NoQuorum  *NoQuorum
	Role      codec.Role
	Raft      consensus.Status
	Config    codec.Configuration
	Said      map[codec.RaftID]Said // by other members, lately
	Head      codec.Head
	Missing   uint64      // blocks that were damaged and are not here yet
	Whole     codec.Index // no block is missing up to here
	Horizon   codec.Index
	Last      codec.Index
	Applied   codec.Index
	Target    codec.Index // replay may go up to here
	Digest    codec.Digest
	Block     codec.BlockDigest
	BlockEnd  codec.Index
	Replaying ReplayView
	Sync      *SyncView // the session that runs, or the last one
	Bonds     []codec.PeerID
	Disk      int64
	Full      bool // less free space than the ledger's reserve
	RaftID    codec.RaftID
	Log       codec.LogID
	ServeRate int64
}

// Said is what a member said of itself last.
type Said struct {
	codec.Progress
	PerSec float64 // entries its machine applied per second, since it said so before
	at     time.Time
}

// rate is the speed at which a machine came from s to next.
func (s Said) rate(next codec.Progress, now time.Time) float64 {
	if s.at.IsZero() || !now.After(s.at) || next.MachineApplied < s.MachineApplied {
		return 0
	}
	return float64(next.MachineApplied-s.MachineApplied) / now.Sub(s.at).Seconds()
}

// ReplayView is how far replay has come since it began to read the ledger.
type ReplayView struct {
	From    codec.Index
	PerSec  float64
	Elapsed time.Duration
}

// SyncView is one sync session.
type SyncView struct {
	Session  uint64
	Entries  uint64
	Stray    uint64 // frames that belonged to no open lease
	Plan     catchup.Status
	Finished bool
	Err      error

	Root     codec.SizedRoot // against which the blocks are proved; 0 blocks: not agreed yet
	ProvedBy int             // voters that state it; 0: it was pinned by hand
	Voters   int             // whose majority decides; 0: not known yet
	Silent   []codec.PeerID  // of them: a majority waits for these
	Dispute  error           // members hold different logs
}

// View is the present picture.
func (g *Group) View() View {
	l := g.cfg.Ledger
	v := View{
		Head: l.Head(), Horizon: l.FirstIndex(), Last: l.LastIndex(), Disk: l.DiskBytes(),
		Full: l.Full(g.cfg.Clock.Now()), RaftID: l.RaftID(), Log: l.LogID(), ServeRate: g.rate.Load(),
	}
	for _, hole := range l.Holes() {
		v.Missing += hole.To - hole.From
	}
	v.Whole = l.Whole()
	if !g.started.Load() {
		return v
	}
	if !isDone(g.done) {
		v.Bonds = g.network.Bonds()
	}
	if c := g.view(); c != nil {
		v.Open, v.Lead, v.Leader, v.Member, v.Role = c.open, c.lead, c.leader, c.member, c.role
		v.Raft, v.Config, v.Said, v.NoQuorum = c.status, c.config, c.said, c.noQuorum
	}
	if r := g.replayer.view.Load(); r != nil {
		v.Applied, v.Target, v.Digest, v.Block, v.BlockEnd = r.applied, r.target, r.digest, r.block, r.blockEnd
		if !r.started.IsZero() {
			v.Replaying = ReplayView{From: r.from, PerSec: r.perSec, Elapsed: g.cfg.Clock.Now().Sub(r.started)}
		}
	}
	if s := g.coord.view.Load(); s != nil {
		v.Sync = &SyncView{
			Session: s.session, Entries: s.entries, Stray: s.stray, Plan: s.status, Finished: s.finished, Err: s.err,
			Root: s.root, ProvedBy: s.by, Voters: s.voters, Silent: s.silent, Dispute: s.dispute,
		}
	}
	return v
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
