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

// RootError says that the log here is not the one that the voters agree on. The
// blocks of the session were taken back.
type RootError struct {
	Blocks       uint64 // the size at which the roots were compared
	Ours, Theirs codec.Hash
	Peer         codec.PeerID // one of the voters, that was asked for more roots; empty: none was here
	First        uint64       // the first block that differs, if Found
	Found        bool
}

func (e *RootError) Error() string {
	where := ""
	if e.Found {
		where = fmt.Sprintf("; the first block that differs is %d", e.First)
	}
	return fmt.Sprintf("the log diverges: over %d blocks our root is %v, that of the voters is %v%s; the blocks of this catch-up were taken back", e.Blocks, e.Ours, e.Theirs, where)
}

// AgreementError says that a majority of the voters did not agree on a root in
// time, so that nothing could be proved.
type AgreementError struct {
	Voters []codec.PeerID // whose word counts; empty: no trusted peer stated them
	Silent []codec.PeerID // of them: a majority waits for these
}

func (e *AgreementError) Error() string {
	switch {
	case len(e.Voters) == 0:
		return "none of the peers that this node was told to join says who the voters are"
	case len(e.Silent) == 0:
		return fmt.Sprintf("no majority of the voters %v states the same root", e.Voters)
	}
	return fmt.Sprintf("a majority of the voters has to state the log's root; not heard: %v", e.Silent)
}

// RefusedError says that the leader will not do what it is asked, whoever asks.
type RefusedError struct {
	Reason string
	Maybe  bool // an earlier leader took it, so it may be done all the same
}

func (e *RefusedError) Error() string { return "the leader refuses: " + e.Reason }
