package catchup

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Reason says why a peer has nothing to do, or what bounds the session.
type Reason string

// The reasons.
const (
	ReasonNone    Reason = ""                          // it is busy
	ReasonTarget  Reason = "no target yet"             // nobody said how far to go
	ReasonWindow  Reason = "window full"               // of blocks that wait for an earlier one
	ReasonDisk    Reason = "waiting for disk"          // the window is full of released blocks
	ReasonNobody  Reason = "nobody has it"             // missing blocks have no holder
	ReasonNothing Reason = "nothing it has is missing" // of one peer
	ReasonAsked   Reason = "everything is asked for"   // the rest is in flight
	ReasonRest    Reason = "resting"                   // it failed lately
	ReasonAllRest Reason = "everybody rests"           // every holder failed lately
	ReasonProof   Reason = "waiting for proof"         // it is too short to prove what it has
	ReasonSpared  Reason = "spared leader"             // its rate counts a quarter
	ReasonPeers   Reason = "peers"                     // as fast as the peers give
	ReasonGone    Reason = "gone"                      // of one peer
	ReasonOut     Reason = "out"                       // of one peer: a block failed its check
)

// Drop says why something that arrived was dropped.
type Drop string

// The drops.
const (
	DropSession Drop = "other session" // an offer with another nonce
	DropPeer    Drop = "unknown peer"  // never offered, lost, or out
	DropLease   Drop = "other lease"   // unknown, ended, or older
	DropUnasked Drop = "unasked"       // not in the lease's list
	DropWindow  Drop = "no room"       // late or larger than thought, outside the window
	DropBad     Drop = "bad block"     // failed its check
)

// Status is one picture of a session.
type Status struct {
	Stats
	Session  uint64
	From     uint64        // first block that was missing
	Done     uint64        // blocks stored in this session
	Needed   uint64        // Done reaches it; grows with the target
	Bytes    uint64        // of the blocks that are done
	PerSec   float64       // bytes/s lately; over the whole session when it ended
	Grows    float64       // bytes/s that the target moves by; 0: not known, or not at all
	Left     time.Duration // -1: not known
	Elapsed  time.Duration
	Held     int64  // bytes received or released and not stored
	Leased   int64  // bytes asked for, by mean block size
	MaxHeld  int64  // the most that Held was
	Waiting  Reason // what bounds the session now
	Finished bool
	Err      error // of a session that failed
	Peers    []PeerStatus
}

// PeerStatus is what one peer gave.
type PeerStatus struct {
	Peer    codec.PeerID
	Leader  bool
	Blocks  uint64        // that were first to arrive
	Bytes   uint64        // of those
	Doubled uint64        // bytes of others
	Rate    float64       // bytes/s, measured while busy; 0: unknown
	RTT     time.Duration // the lowest round trip lately; 0: unknown
	Rests   uint64        // times that it failed and had to rest
	Failed  uint64        // proofs that failed
	State   string        // busy, idle, resting, gone, out
	Idle    Reason        // why it has nothing to do
	Err     error         // why it is out
}
