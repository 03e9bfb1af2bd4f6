package codec

// The messages of the bond protocol, /logmesh/1/bond. Both ends prove that they
// know the group key before any other stream is served.
type (
	// Hello opens a bond, from both sides.
	Hello struct {
		Group GroupID `cbor:"1,keyasint"`
		Nonce Hash    `cbor:"2,keyasint"` // fresh random bytes
	}

	// Proof is the dialer's proof of the group key, with what it runs.
	Proof struct {
		MAC     Hash   `cbor:"1,keyasint"` // HMAC-SHA-256, see p2p
		Log     LogID  `cbor:"2,keyasint"` // zero: not known yet
		Machine string `cbor:"3,keyasint"` // the machine's signature
		Version uint64 `cbor:"4,keyasint"` // of the protocol
		// Before are the logs that ended where recoveries began Log, if the dialer
		// knows them: a listener that still holds one of them learns it by this.
		Before []Recovery `cbor:"5,keyasint,omitempty"`
	}

	// Accept is the listener's proof; the bond stands.
	Accept struct {
		MAC     Hash   `cbor:"1,keyasint"`
		Log     LogID  `cbor:"2,keyasint"`
		Machine string `cbor:"3,keyasint"`
		Version uint64 `cbor:"4,keyasint"`
	}

	// Refuse ends a bond whose key was right but whose Field differs.
	Refuse struct {
		Field  string `cbor:"1,keyasint"` // "machine", "log", "version" or "busy"
		Ours   string `cbor:"2,keyasint"` // the value of who refuses
		Theirs string `cbor:"3,keyasint"` // the value it was told
		// Ended is the index of the recovery that ended the log it was told.
		Ended Index `cbor:"4,keyasint,omitempty"`
	}
)

// ProtocolVersion is the version that Proof and Accept carry.
const ProtocolVersion = 1

// The messages of Raft streams, /logmesh/1/raft: one long-lived stream per peer
// and direction. The receiver answers on the stream's other half.
type (
	// RaftOpen is the first frame of a Raft stream.
	RaftOpen struct {
		Group GroupID `cbor:"1,keyasint"`
		Log   LogID   `cbor:"2,keyasint"`
		Nonce uint64  `cbor:"3,keyasint"`
		From  RaftID  `cbor:"4,keyasint"`
		To    RaftID  `cbor:"5,keyasint"`
	}

	// RaftBatch carries marshalled raftpb.Messages.
	RaftBatch struct {
		Messages [][]byte `cbor:"1,keyasint"`
	}

	// NotMe answers a stream that was opened for another raft id: the receiver
	// has a new one, its directory was lost or it was added anew.
	NotMe struct {
		Asked RaftID `cbor:"1,keyasint"`
		Mine  RaftID `cbor:"2,keyasint"`
	}

	// RemovedAt tells a sender that it is no member any more.
	RemovedAt struct {
		Index Index `cbor:"1,keyasint"`
	}

	// Progress goes to the other members each second: the leader acts on it,
	// the others show it.
	Progress struct {
		PendingSnapshot Index       `cbor:"1,keyasint"` // index of the held MsgSnap; 0: none
		Blocks          uint64      `cbor:"2,keyasint"` // synced blocks
		RaftApplied     Index       `cbor:"3,keyasint"`
		MachineApplied  Index       `cbor:"4,keyasint"`
		Digest          BlockDigest `cbor:"5,keyasint"`
	}
)

// Open is the first frame of a sync or call stream.
type Open struct {
	Group GroupID `cbor:"1,keyasint"`
	Log   LogID   `cbor:"2,keyasint"`
	Nonce uint64  `cbor:"3,keyasint"`
}

// BlockRange is the blocks [From, To).
type BlockRange struct {
	_    struct{} `cbor:",toarray"`
	From uint64
	To   uint64
}

// Len is the number of blocks.
func (r BlockRange) Len() uint64 { return r.To - r.From }

// BlockDigest is the digest at the end of block Block. Digest is zero when
// there is none yet.
type BlockDigest struct {
	_      struct{} `cbor:",toarray"`
	Block  uint64
	Digest Digest
}

// SizedRoot is the root of the block tree over [0, Blocks).
type SizedRoot struct {
	_      struct{} `cbor:",toarray"`
	Blocks uint64
	Root   Hash
}

// WantRange is a range of a lease's list.
type WantRange struct {
	_      struct{} `cbor:",toarray"`
	From   uint64
	To     uint64
	Proved bool // the requester holds the leaves: send none
}

// Limits of the sync messages.
const (
	MaxHeld      = 16      // ranges that an offer or End names
	MaxSizes     = 8       // tree sizes that a request may ask about
	MaxRanges    = 64      // ranges in one Fetch or Extend
	ProofGroup   = 32      // aligned blocks whose leaves travel together
	maxFrontier  = 128     // hashes on one side of a proof group
	maxMachine   = 256     // bytes of a machine's signature
	maxReason    = 1024    // bytes of a text for people, or of a value in Refuse
	maxField     = 32      // bytes of the name in Refuse
	MaxProposals = 1024    // commands in one Propose
	MaxRaftBatch = 1024    // messages in one RaftBatch
	MaxProposal  = 1 << 20 // bytes of commands in one Propose of more than one
)

// The messages of catch-up: AvailabilityRequest on the group topic, the others
// on sync streams, /logmesh/1/sync. A requester opens the stream, its Open is
// answered by an AvailabilityReply, and then leases follow. A peer that hears a
// request by gossip opens a stream of its own, writes Open and
// AvailabilityReply, and closes it.
type (
	// AvailabilityRequest asks who has blocks.
	AvailabilityRequest struct {
		Group     GroupID  `cbor:"1,keyasint"`
		Log       LogID    `cbor:"2,keyasint"`
		Nonce     uint64   `cbor:"3,keyasint"` // names the sync session
		Requester PeerID   `cbor:"4,keyasint"`
		Sizes     []uint64 `cbor:"5,keyasint,omitempty"` // tree sizes to attest
	}

	// AvailabilityReply is what a peer has.
	AvailabilityReply struct {
		Nonce     uint64       `cbor:"1,keyasint"`
		Held      []BlockRange `cbor:"2,keyasint"` // ascending, apart
		Head      Head         `cbor:"3,keyasint"`
		Rounded   SizedRoot    `cbor:"4,keyasint"` // at the head rounded down to ProofGroup
		Roots     []SizedRoot  `cbor:"5,keyasint,omitempty"`
		Committed Cursor       `cbor:"6,keyasint"`
		Horizon   Index        `cbor:"7,keyasint"` // lowest index that its Raft still sees
		Voter     bool         `cbor:"8,keyasint"`
		Leader    bool         `cbor:"9,keyasint"`
		Digest    BlockDigest  `cbor:"10,keyasint"`
	}

	// Fetch opens a lease. Lease numbers grow within a stream.
	Fetch struct {
		Lease  uint64      `cbor:"1,keyasint"`
		Tree   uint64      `cbor:"2,keyasint"` // tree size to prove against; 0: no leaves wanted
		Zstd   bool        `cbor:"3,keyasint"` // blocks are wanted compressed, if that is shorter
		Leaves bool        `cbor:"4,keyasint"` // leaves only, no blocks
		Ranges []WantRange `cbor:"5,keyasint"`
	}

	// Extend appends ranges to an open lease. Seq counts Extend and Trim of a
	// lease together, from 1.
	Extend struct {
		Lease  uint64      `cbor:"1,keyasint"`
		Seq    uint64      `cbor:"2,keyasint"`
		Ranges []WantRange `cbor:"3,keyasint"`
		Zstd   bool        `cbor:"4,keyasint"` // as in Fetch, for all that is not sent yet
	}

	// Trim says that nothing from place Place of the lease's list on is wanted;
	// places count blocks from the list's beginning.
	Trim struct {
		Lease uint64 `cbor:"1,keyasint"`
		Seq   uint64 `cbor:"2,keyasint"`
		Place uint64 `cbor:"3,keyasint"`
	}

	// Cancel ends a lease; End answers it.
	Cancel struct {
		Lease uint64 `cbor:"1,keyasint"`
	}

	// Leaves proves one group of ProofGroup aligned blocks: left ‖ leaves ‖ right
	// give the root over [0, Tree).
	Leaves struct {
		Lease  uint64 `cbor:"1,keyasint"`
		Group  uint64 `cbor:"2,keyasint"`
		Tree   uint64 `cbor:"3,keyasint"`
		Leaves []Hash `cbor:"4,keyasint"`
		Left   []Hash `cbor:"5,keyasint"`
		Right  []Hash `cbor:"6,keyasint"`
	}

	// Blocks carries one block. Data is the canonical encoding, or zstd of it.
	// It is written by hand (AppendBlocksHead, DecodeBlocks) so that stored
	// bytes go out and come in without a copy.
	Blocks struct {
		Lease  uint64 `cbor:"1,keyasint"`
		Number uint64 `cbor:"2,keyasint"`
		Zstd   bool   `cbor:"3,keyasint"`
		Data   []byte `cbor:"4,keyasint"`
	}

	// End closes a lease.
	End struct {
		Lease      uint64       `cbor:"1,keyasint"`
		Seq        uint64       `cbor:"2,keyasint"` // last Extend or Trim that was seen
		Sent       uint64       `cbor:"3,keyasint"` // blocks sent under this lease
		Last       uint64       `cbor:"4,keyasint"` // the last block sent, if Sent > 0
		Reason     EndReason    `cbor:"5,keyasint"`
		RetryAfter uint64       `cbor:"6,keyasint"` // milliseconds, with EndBusy
		Held       []BlockRange `cbor:"7,keyasint"`
		Head       Head         `cbor:"8,keyasint"`
		Horizon    Index        `cbor:"9,keyasint"`
		Digest     BlockDigest  `cbor:"10,keyasint"`
	}
)

// EndReason says why a lease ended.
type EndReason uint8

// The reasons.
const (
	EndDone        EndReason = 1 // everything was sent
	EndTrimmed     EndReason = 2 // everything up to the trim point was sent
	EndCancelled   EndReason = 3
	EndUnavailable EndReason = 4 // the next block is not here, or the peer is leaving
	EndBusy        EndReason = 5 // too many sessions; come back after RetryAfter
	EndRefused     EndReason = 6 // the requester broke the protocol
)

func (r EndReason) String() string {
	names := [...]string{EndDone: "done", EndTrimmed: "trimmed", EndCancelled: "cancelled", EndUnavailable: "unavailable", EndBusy: "busy", EndRefused: "refused"}
	if int(r) < len(names) && names[r] != "" {
		return names[r]
	}
	return "unknown"
}

// The messages of calls, /logmesh/1/call: a stream carries Open, one question
// and one answer.
type (
	// Join asks to be added to the group.
	Join struct {
		RaftID RaftID   `cbor:"1,keyasint"`
		Role   Role     `cbor:"2,keyasint"` // RoleStandby or RoleObserver
		Addrs  []string `cbor:"3,keyasint"`
		Cursor Cursor   `cbor:"4,keyasint"` // where the joiner's Raft opened
	}

	// Leave asks to be removed.
	Leave struct {
		RaftID RaftID `cbor:"1,keyasint"`
	}

	// Propose hands entry data, each a command envelope, to the leader.
	Propose struct {
		Commands [][]byte `cbor:"1,keyasint"`
	}

	// ReadIndex asks the leader for an index at which a read is linearizable.
	ReadIndex struct{}

	// Members asks for the configuration.
	Members struct{}

	// Remove asks to remove a member.
	Remove struct {
		RaftID RaftID `cbor:"1,keyasint"`
	}

	// Promote asks to make a standby a voter.
	Promote struct {
		RaftID  RaftID `cbor:"1,keyasint"`
		Instead RaftID `cbor:"2,keyasint,omitempty"` // the voter that becomes a standby for it; 0: none
	}

	// Transfer asks the leader to hand leadership to a voter.
	Transfer struct {
		RaftID RaftID `cbor:"1,keyasint"`
	}

	// Retarget asks to change how many voters the group wants.
	Retarget struct {
		Voters uint64 `cbor:"1,keyasint"`
	}

	// Answer answers every call.
	Answer struct {
		Status CallStatus    `cbor:"1,keyasint"`
		Leader PeerID        `cbor:"2,keyasint,omitempty"` // a hint, with CallNotLeader
		Reason string        `cbor:"3,keyasint,omitempty"` // for people, when the status is not CallOK
		Index  Index         `cbor:"4,keyasint,omitempty"` // of the configuration, or of the removal; ReadIndex: to read at; Propose: how many were accepted
		Config Configuration `cbor:"5,keyasint"`           // of what asks for the membership or changes it
	}
)

// CallStatus says how a call went.
type CallStatus uint8

// The statuses.
const (
	CallOK          CallStatus = 1 // Propose: accepted, not yet decided
	CallNotLeader   CallStatus = 2
	CallNoQuorum    CallStatus = 3 // the leader cannot commit what it has
	CallRefused     CallStatus = 4 // not possible; Reason says why
	CallUnavailable CallStatus = 5 // not now, or not done yet; try again
	CallRemoved     CallStatus = 6 // Join: the raft id was removed, at Index, and will not be added again
)

// GroupTag says in an announcement that a node takes part in a group.
type GroupTag struct {
	Group GroupID `cbor:"1,keyasint"`
	Log   LogID   `cbor:"2,keyasint"`
	Role  Role    `cbor:"3,keyasint"` // 0: not a member yet
}

// MaxGroups is the greatest number of groups in an announcement.
const MaxGroups = 32

// Announcement makes a node known on the network topic. Its signature is that
// of the gossip message that carries it.
type Announcement struct {
	Peer    PeerID     `cbor:"1,keyasint"`
	Addrs   []string   `cbor:"2,keyasint"`
	Seq     uint64     `cbor:"3,keyasint"` // grows with each announcement of a peer
	Groups  []GroupTag `cbor:"4,keyasint"`
	Version uint64     `cbor:"5,keyasint"`
}
