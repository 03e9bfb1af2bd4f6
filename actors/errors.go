package actors

import (
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
)

// Errors that callers act on.
var (
	// ErrStopped: the group was stopped here.
	ErrStopped = errors.New("the group was stopped here")
	// ErrRemoved: this node is no member any more.
	ErrRemoved = errors.New("this node was removed from the group")
)

// RootError says that what a sync session stored is not what the leader has.
// The blocks of the session were taken back.
type RootError struct {
	Blocks       uint64 // the size at which the roots were compared
	Ours, Theirs codec.Hash
	Leader       codec.PeerID
}

func (e *RootError) Error() string {
	return fmt.Sprintf("the log diverges: at %d blocks our root is %v, that of the leader %s is %v; the blocks of this catch-up were taken back", e.Blocks, e.Ours, e.Leader, e.Theirs)
}

// RefusedError says that the leader will not take a command, whoever asks.
type RefusedError struct {
	Reason string
	Maybe  bool // an earlier leader took it, so it may be applied all the same
}

func (e *RefusedError) Error() string { return "the leader refuses the command: " + e.Reason }
