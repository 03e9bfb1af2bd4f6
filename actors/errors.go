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

// RemovedError says by which entry this node was removed. It wraps ErrRemoved.
type RemovedError struct{ Index codec.Index }

func (e *RemovedError) Error() string { return fmt.Sprintf("%v, at index %d", ErrRemoved, e.Index) }

func (e *RemovedError) Unwrap() error { return ErrRemoved }

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

// RefusedError says that the leader will not do what it is asked, whoever asks.
type RefusedError struct {
	Reason string
	Maybe  bool // an earlier leader took it, so it may be done all the same
}

func (e *RefusedError) Error() string { return "the leader refuses: " + e.Reason }
