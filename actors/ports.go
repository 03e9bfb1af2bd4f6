package actors

import (
	"context"
	"io"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Network is what the actors of one group need from the network. Its methods
// are safe for concurrent use.
type Network interface {
	// Bonds lists the peers that proved the group key and are connected now.
	Bonds() []codec.PeerID
	// Broadcast gossips a request to everybody in the group. It may be lost.
	Broadcast(req codec.AvailabilityRequest) error
	// Reply hands an offer to a peer that asked by gossip.
	Reply(ctx context.Context, to codec.PeerID, m codec.AvailabilityReply) error
	// OpenSync opens a sync stream. Its Open frame is written already.
	OpenSync(ctx context.Context, to codec.PeerID) (Stream, error)
	// Call asks one question and waits for the answer.
	Call(ctx context.Context, to codec.PeerID, m codec.Message) (codec.Answer, error)
	// SendRaft queues m for the Raft stream of peer to, which is id. It never
	// blocks; false says that m was dropped.
	SendRaft(to codec.PeerID, from, id codec.RaftID, m codec.Message, droppable bool) bool
	// Know names the members, so that they are dialled again for ever.
	Know(members []codec.Member)
}

// Stream is one sync stream: bytes both ways.
type Stream interface {
	io.Reader
	io.Writer
	Close() error // both halves, after what was written
	Reset() error // at once
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// Clock tells the time and wakes. Tests under testing/synctest use SystemClock
// as it is.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own after d; stop prevents that if
	// it comes in time.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// SystemClock is the monotonic clock of the machine.
type SystemClock struct{}

// Now is time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (SystemClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
