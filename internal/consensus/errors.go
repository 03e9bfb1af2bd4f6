package consensus

import (
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
)

// Errors that callers act on.
var (
	// ErrNotLeader: this member does not lead, or is handing leadership over.
	// Nothing happened.
	ErrNotLeader = errors.New("this member is not the leader")
	// ErrNoQuorum: the leader holds MaxUncommitted bytes that it cannot commit.
	// Nothing happened.
	ErrNoQuorum = errors.New("no quorum: too much waits to be committed")
	// ErrMajority: the member is the only voter of its group, so that nothing has
	// to be recovered.
	ErrMajority = errors.New("this member is the only voter of its group: it is a majority by itself")
	// ErrNothingHeld: StepHeld without a held MsgSnap.
	ErrNothingHeld = errors.New("no snapshot is held")
)

// AdmitError says why a message was not stepped. It is a fault of its sender;
// nothing was changed here.
type AdmitError struct {
	From codec.RaftID // as the connection said
	Why  string
}

func (e *AdmitError) Error() string {
	return fmt.Sprintf("message of %v not admitted: %s", e.From, e.Why)
}

// LostEntriesError is evidence that this member lost entries which it
// acknowledged: a leader's heartbeat commits an index that is not here, though
// it never commits beyond what was acknowledged. Such a member must not vote
// again; it comes back under a new raft id.
type LostEntriesError struct {
	From   codec.RaftID // the leader
	Term   codec.Term
	Commit codec.Index // what the leader commits
	Last   codec.Index // the end of the log here
}

func (e *LostEntriesError) Error() string {
	return fmt.Sprintf("acknowledged entries are lost: leader %v of term %d commits index %d, the log here ends at %d. "+
		"This node must not vote any more. Move its directory of the group away and join the group again: it comes back as a new member under a new raft id, and its old vote is not used again",
		e.From, e.Term, e.Commit, e.Last)
}

// DivergenceError is evidence that two members decided differently at one
// index, which never happens while disks keep what was synced. The group stops
// here.
type DivergenceError struct {
	From  codec.RaftID // 0: found here
	Index codec.Index
	Ours  string // what stands here
	Other string // what the other side, or the ledger, says
}

func (e *DivergenceError) Error() string {
	return fmt.Sprintf("the log diverges at index %d: %s here, %s by %v", e.Index, e.Ours, e.Other, e.From)
}

// BrokenError says that the Raft library gave up, on a failed read of the log
// or a rule that does not hold. The Core is unusable from then on.
type BrokenError struct {
	Value any    // what it panicked with
	Cause error  // the log's error, if there was one
	Stack []byte // where
}

func (e *BrokenError) Error() string {
	if e.Cause != nil {
		return "raft stopped: " + e.Cause.Error()
	}
	return fmt.Sprintf("raft stopped: %v", e.Value)
}

func (e *BrokenError) Unwrap() error { return e.Cause }
