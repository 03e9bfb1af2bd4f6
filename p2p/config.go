package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"

	"github.com/logmesh/logmesh/codec"
)

// Sizes of keys in bytes.
const (
	SeedSize       = 32 // Config.Key
	GroupKeySize   = 32 // GroupConfig.Key
	NetworkKeySize = 32 // Config.NetworkKey
)

// Config says who a node is and where it listens.
type Config struct {
	// Key is the seed of the node's ed25519 identity, SeedSize bytes.
	Key []byte
	// Network is the network's name. Nodes meet in networks of equal names.
	Network string
	// Listen are multiaddrs. None means: do not listen, only dial.
	Listen []string
	// Peers are multiaddrs with /p2p/ID, dialled for ever.
	Peers []string
	// NetworkKey, NetworkKeySize bytes, makes the network private: only nodes
	// with the same key get a connection, over TCP alone.
	NetworkKey []byte
	// Logger gets what happens to the network; nil means slog.Default.
	Logger *slog.Logger
	// Host, if not nil, is used instead of a new one; Close closes it. It is
	// for tests, and must have the identity of Key.
	Host host.Host
	// HostOptions are further options of the host that is made. They are for
	// tests: a simulated network comes in here.
	HostOptions []libp2p.Option
	// Over, if not nil, is put between the host and its streams. It is for tests,
	// which make faults there.
	Over func(host.Host) host.Host
}

// GroupConfig says what a node has to prove in a group.
type GroupConfig struct {
	// Name is the group's name within the network.
	Name string
	// Key is the group key, GroupKeySize bytes, known to all members.
	Key []byte
	// Machine is the signature of the state machine.
	Machine string
	// Log tells the log id, zero while it is unknown. It is called from any
	// goroutine, often, and must not block.
	Log func() codec.LogID
	// Before tells which logs recoveries ended on the way to Log's, as far as it
	// is known, so that a peer which still holds one of them is told. As Log; nil:
	// none.
	Before func() []codec.Recovery
	// Role tells the own role for announcements, 0 while there is none. As Log.
	Role func() codec.Role
	// Handler is told what arrives.
	Handler Handler
}

// Handler is told what arrives for a group. Its methods are called from p2p's
// goroutines, several at a time, and must return soon unless they say
// otherwise. Nothing of a peer's streams is handed over before its Bonded has
// returned; the last of it may still come after its Unbonded.
type Handler interface {
	// Bonded says that a peer proved the group key and that its machine,
	// version and log are ours. log is what it stated; zero: it knows none yet.
	// bootstrap: the peer is one of Config.Peers. A peer that came back as a new
	// process or group is Unbonded and Bonded again.
	Bonded(peer codec.PeerID, log codec.LogID, bootstrap bool)
	// Unbonded says that the last connection to a bonded peer is gone, or that
	// it does not belong to us any more.
	Unbonded(peer codec.PeerID)
	// Refused says why there is no bond with a peer: a *RefusedError or
	// something that wraps ErrWrongKey. Once per peer and reason until the
	// reason changes.
	Refused(peer codec.PeerID, err error)
	// AvailabilityAsked is a request heard by gossip. It was sealed with the
	// group key, so the requester knows it; a bond need not stand.
	AvailabilityAsked(req codec.AvailabilityRequest)
	// AvailabilityReplied is the answer to a request of ours.
	AvailabilityReplied(from codec.PeerID, m codec.AvailabilityReply)
	// ServeSync serves a sync stream whose Open was checked. It may run as long
	// as it likes, and returns when the stream fails; afterwards the stream is
	// closed.
	ServeSync(from codec.PeerID, s Stream)
	// RaftReceived takes a *codec.RaftOpen (first), a *codec.RaftBatch or a
	// *codec.Progress of a peer's Raft stream, in order. What it returns is
	// written on the stream's other half.
	RaftReceived(from codec.PeerID, open codec.RaftOpen, m codec.Message) []codec.Message
	// RaftAnswered takes a *codec.NotMe, *codec.RemovedAt or *codec.Progress
	// that a peer wrote on the other half of our Raft stream.
	RaftAnswered(from codec.PeerID, m codec.Message)
	// Called answers a question: a *codec.Join, Leave, Propose, ReadIndex, Members,
	// Remove, Promote, Transfer or Retarget. It may wait as long as ctx lives.
	Called(ctx context.Context, from codec.PeerID, m codec.Message) codec.Answer
}

// Stream is a sync stream: bytes in order, in both directions.
type Stream interface {
	io.Reader
	io.Writer
	// Close ends both halves; what was written still arrives.
	Close() error
	// Reset ends both halves at once; what is under way is lost.
	Reset() error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

func (c *Config) validate() error {
	switch {
	case len(c.Key) != SeedSize:
		return fmt.Errorf("the identity's seed has %d bytes, not %d", len(c.Key), SeedSize)
	case c.Network == "":
		return errors.New("the network has no name")
	case len(c.NetworkKey) != 0 && len(c.NetworkKey) != NetworkKeySize:
		return fmt.Errorf("the network key has %d bytes, not %d", len(c.NetworkKey), NetworkKeySize)
	}
	return nil
}

func (c *GroupConfig) validate() error {
	switch {
	case c.Name == "":
		return errors.New("the group has no name")
	case len(c.Key) != GroupKeySize:
		return fmt.Errorf("the group key has %d bytes, not %d", len(c.Key), GroupKeySize)
	case c.Log == nil || c.Role == nil || c.Handler == nil:
		return errors.New("a group needs Log, Role and Handler")
	}
	return nil
}
