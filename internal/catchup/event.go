package catchup

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Event is something that happened.
type Event interface{ event() }

// The events.
type (
	// PeerOffered: a peer said what it has. A later offer replaces an earlier
	// one. An offer whose nonce is not the session's is dropped.
	PeerOffered struct {
		Peer  codec.PeerID
		Reply codec.AvailabilityReply
	}

	// PeerLost: the peer is gone, and its lease with it. An offer brings it back.
	PeerLost struct{ Peer codec.PeerID }

	// BlockArrived: a block came. The plan keeps Data until it is released. Leaf
	// is its leaf in the block tree, needed with Config.Prove.
	BlockArrived struct {
		Peer   codec.PeerID
		Lease  uint64
		Number uint64
		Data   []byte
		Leaf   codec.Hash
	}

	// LeavesArrived: a peer proves the leaves of a group.
	LeavesArrived struct {
		Peer   codec.PeerID
		Leaves codec.Leaves
	}

	// RootAgreed: the voters agree on the root over so many blocks, which are the
	// session's target from now on; a target never moves back. Leases keep the root
	// that they were opened with. Without Config.Prove Root is not looked at.
	RootAgreed struct {
		Blocks uint64
		Root   codec.Hash
	}

	// LeaseEnded: the peer closed a lease.
	LeaseEnded struct {
		Peer codec.PeerID
		End  codec.End
	}

	// StreamReset: the stream broke, or was reset because a Cancel was not
	// answered; nothing more comes for the lease.
	StreamReset struct {
		Peer  codec.PeerID
		Lease uint64
	}

	// Stored: the blocks below Through are durable and handed to replay, which
	// gives their share of the window back. Bytes is their size as the store
	// counted it, for transcripts: the plan returns what it holds for them.
	Stored struct {
		Through uint64
		Bytes   int64
	}

	// LeaderChanged: the group's leader is Peer; empty: none is known.
	LeaderChanged struct{ Peer codec.PeerID }

	// Ticked: the time of the last Wake has come. It is also the first event of
	// a session that has nothing else to say.
	Ticked struct{}
)

func (PeerOffered) event()   {}
func (PeerLost) event()      {}
func (BlockArrived) event()  {}
func (LeavesArrived) event() {}
func (RootAgreed) event()    {}
func (LeaseEnded) event()    {}
func (StreamReset) event()   {}
func (Stored) event()        {}
func (LeaderChanged) event() {}
func (Ticked) event()        {}

// Effect is something to do.
type Effect interface{ effect() }

// The effects. They are to be done in the order in which they were returned.
type (
	// Fetch opens a lease. The peer has no other open. Tree is the size of the
	// tree that the peer proves against, 0: nothing is to be proved. Leaves wants
	// no blocks.
	Fetch struct {
		Peer   codec.PeerID
		Lease  uint64
		Tree   uint64
		Leaves bool
		Ranges []codec.WantRange
	}

	// Extend appends ranges to an open lease.
	Extend struct {
		Peer   codec.PeerID
		Lease  uint64
		Seq    uint64
		Ranges []codec.WantRange
	}

	// Trim gives up the lease's list from Place on. No Extend follows it.
	Trim struct {
		Peer  codec.PeerID
		Lease uint64
		Seq   uint64
		Place uint64
	}

	// Cancel gives up a lease. The peer gets no other until LeaseEnded,
	// StreamReset or PeerLost.
	Cancel struct {
		Peer  codec.PeerID
		Lease uint64
	}

	// Release hands blocks on, in order, each once, with the leaves with which they
	// came. Stored answers it.
	Release struct {
		First  uint64
		Blocks [][]byte
		Leaves []codec.Hash
	}

	// Broadcast asks everybody what they have.
	Broadcast struct{}

	// Wake asks for a Ticked at At. It replaces an earlier Wake.
	Wake struct{ At time.Duration }

	// Distrust tells that a peer is out for the rest of the session, and why.
	Distrust struct {
		Peer codec.PeerID
		Err  error
	}

	// Finish: all blocks below the target are stored. Nothing follows it.
	Finish struct{}

	// Fail: the session cannot go on. Nothing follows it. Err is an
	// *UnservedError.
	Fail struct{ Err error }
)

func (Fetch) effect()     {}
func (Extend) effect()    {}
func (Trim) effect()      {}
func (Cancel) effect()    {}
func (Release) effect()   {}
func (Broadcast) effect() {}
func (Wake) effect()      {}
func (Distrust) effect()  {}
func (Finish) effect()    {}
func (Fail) effect()      {}
