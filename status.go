package logmesh

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Phase is where a member stands in its life.
type Phase string

// The phases.
const (
	PhaseJoining    Phase = "joining"     // looking for the group, or asking to be added
	PhaseCatchingUp Phase = "catching up" // fetching blocks from peers
	PhaseRepairing  Phase = "repairing"   // fetching blocks that were damaged here; it does not vote meanwhile
	PhaseReplaying  Phase = "replaying"   // applying its own ledger after a start
	PhaseOnline     Phase = "online"      // a member that follows the log
	PhaseRemoved    Phase = "removed"     // no member any more
	PhaseStopped    Phase = "stopped"     // closed, or stopped by an error; see Status.Error
)

// Status is one picture of a group as this node sees it: for programs, the CLI,
// HTTP and metrics alike.
type Status struct {
	Network string       `json:"network"`
	Group   string       `json:"group"`
	Machine string       `json:"machine"` // the machine's signature
	Log     codec.LogID  `json:"log"`     // zero until it is known
	Peer    codec.PeerID `json:"peer"`    // this node
	RaftID  codec.RaftID `json:"raft_id"`
	Addrs   []string     `json:"addrs"` // multiaddrs with /p2p, as --join takes them

	Phase  Phase  `json:"phase"`
	Role   string `json:"role"`            // leader, voter, standby, observer, or none
	Error  string `json:"error,omitempty"` // why the group stopped here
	Detail string `json:"detail,omitempty"`

	Leader    codec.PeerID `json:"leader,omitempty"` // empty: none known
	Term      codec.Term   `json:"term"`
	Committed codec.Index  `json:"committed"`
	Applied   codec.Index  `json:"applied"` // by the machine
	Last      codec.Index  `json:"last"`    // in the log, committed or not

	Digest      codec.Digest `json:"digest"`       // at Applied
	BlockDigest codec.Digest `json:"block_digest"` // at the newest block end
	BlockEnd    codec.Index  `json:"block_end"`    // its index; 0: none yet

	Blocks    uint64      `json:"blocks"`            // sealed
	Missing   uint64      `json:"missing,omitempty"` // of Blocks: damaged here, and not fetched again yet
	Root      codec.Hash  `json:"root"`              // of the block tree over them
	Horizon   codec.Index `json:"horizon"`
	DiskBytes int64       `json:"disk_bytes"`
	ServeRate int64       `json:"serve_rate"` // bytes a second to peers that catch up; 0: no limit

	ConfigIndex codec.Index    `json:"config_index"` // of the entry that made the membership what it is
	Target      int            `json:"target"`       // how many voters the group wants
	Members     []MemberStatus `json:"members"`
	Bonds       []codec.PeerID `json:"bonds"` // peers that proved the group key, now connected
	Alerts      []string       `json:"alerts"`

	NoQuorum *NoQuorum `json:"no_quorum,omitempty"` // too few voters are reachable for writes and strong reads

	Replay   *ReplayStatus `json:"replay,omitempty"`    // while PhaseReplaying
	Sync     *SyncStatus   `json:"sync,omitempty"`      // while catching up
	LastSync *SyncStatus   `json:"last_sync,omitempty"` // the last one that ended
}

// MemberStatus is one member of the configuration.
type MemberStatus struct {
	Peer      codec.PeerID `json:"peer"`
	RaftID    codec.RaftID `json:"raft_id"`
	Role      codec.Role   `json:"role"`
	Addrs     []string     `json:"addrs"`
	Leader    bool         `json:"leader"`
	Self      bool         `json:"self"`
	Connected bool         `json:"connected"`
	// Applied is the highest index that the member said its machine applied;
	// Trails is how many entries that is behind this node's commit index.
	// Members report to the leader, so that it knows of all; any other node knows
	// of itself only, and Trails of the rest is -1.
	Applied codec.Index `json:"applied"`
	Trails  int64       `json:"trails"`
	PerSec  float64     `json:"entries_per_s"` // that its machine applied lately; 0 for this node
	// State is what the leader knows of a member's log, and only the leader shows
	// it: replicate, probe, snapshot (it catches up), or silent.
	State string `json:"state,omitempty"`
}

// ReplayStatus is how far a start has replayed its own ledger.
type ReplayStatus struct {
	Index   codec.Index   `json:"index"`
	Of      codec.Index   `json:"of"`
	PerSec  float64       `json:"entries_per_s"`
	Left    time.Duration `json:"left_ns"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// SyncStatus is one sync session: a catch-up from peers.
type SyncStatus struct {
	Session     uint64        `json:"session"`
	From        uint64        `json:"from_block"` // the first block that was missing
	Done        uint64        `json:"blocks_done"`
	Needed      uint64        `json:"blocks_needed"` // Done reaches it; grows when the target moves
	Entries     uint64        `json:"entries"`       // in the blocks that are done
	Bytes       uint64        `json:"bytes"`         // of the blocks that are done
	Doubled     uint64        `json:"bytes_doubled"` // arrived twice
	PerSec      float64       `json:"bytes_per_s"`   // now, or over the whole session when it ended
	Left        time.Duration `json:"left_ns"`       // -1: not known
	Elapsed     time.Duration `json:"elapsed_ns"`
	Finished    bool          `json:"finished"`
	Error       string        `json:"error,omitempty"`
	Waiting     string        `json:"waiting,omitempty"` // what bounds it now
	Root        codec.Hash    `json:"root"`              // over RootOf blocks: what all that is fetched is proved against
	RootOf      uint64        `json:"root_of_blocks"`    // 0: not agreed yet, or a repair
	ProvedBy    int           `json:"proved_by"`         // so many of Voters state that root; 0: it was pinned by hand
	Voters      int           `json:"voters"`            // whose majority decides; 0: not known yet
	GroupPerSec float64       `json:"group_bytes_per_s"` // that the target moved by lately; 0: not known, or it stands
	Counts      SyncCounts    `json:"counts"`
	Peers       []SyncPeer    `json:"peers"`
}

// SyncCounts counts what happened in a sync session.
type SyncCounts struct {
	Blocks       map[string]uint64        `json:"blocks"`       // that arrived, by what became of them: new, doubled, or why they were dropped
	LeaderBytes  uint64                   `json:"leader_bytes"` // of new blocks, from the leader
	OtherBytes   uint64                   `json:"other_bytes"`  // from everybody else
	Hedges       uint64                   `json:"hedges"`       // times that what a silent peer owed was asked of another
	HedgedBlocks uint64                   `json:"hedged_blocks"`
	Steals       uint64                   `json:"steals"`        // tails of leases that another peer took over
	GivenUp      uint64                   `json:"given_up"`      // leases of peers that were silent for too long
	Rests        uint64                   `json:"rests"`         // times that a peer failed, and had to rest
	FailedProofs uint64                   `json:"failed_proofs"` // each names its peer, which is out
	StrayFrames  uint64                   `json:"stray_frames"`  // that belonged to no open lease
	Idle         map[string]time.Duration `json:"idle_ns"`       // of peers without work, by why, summed over them
	Waited       map[string]time.Duration `json:"waited_ns"`     // of the session, by what bounded it
}

// SyncPeer is what one peer gave in a sync session.
type SyncPeer struct {
	Peer         codec.PeerID  `json:"peer"`
	Leader       bool          `json:"leader"`
	Blocks       uint64        `json:"blocks"`
	Bytes        uint64        `json:"bytes"`
	PerSec       float64       `json:"bytes_per_s"`
	State        string        `json:"state"`         // idle, busy, resting, gone, out
	Doubled      uint64        `json:"bytes_doubled"` // of blocks that were here already; Blocks and Bytes are without them
	RTT          time.Duration `json:"rtt_ns"`        // the lowest lately; 0: not known
	Rests        uint64        `json:"rests"`         // times that it failed, and had to rest
	FailedProofs uint64        `json:"failed_proofs"`
	Error        string        `json:"error,omitempty"` // why it is out
}
