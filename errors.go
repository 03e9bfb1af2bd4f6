package logmesh

import (
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
)

// Errors that callers act on. Test for them with errors.Is and errors.As.
var (
	// ErrNoLeader: the context ended before the group had a leader; nothing
	// that was asked has happened.
	ErrNoLeader = errors.New("the group has no leader")
	// ErrClosed: the group or node was closed here.
	ErrClosed = errors.New("closed")
	// ErrRemoved: this node is no member any more; a *RemovedError says more.
	ErrRemoved = errors.New("this node was removed from the group")
	// ErrSessionExpired: the group forgot the client session in which a command
	// was sent, so whether it was applied cannot be told. It comes wrapped in an
	// *UnknownOutcomeError.
	ErrSessionExpired = errors.New("session expired")
	// ErrAnswered: a command was asked for again after its session's Slot.Low had
	// passed it, so its result is not kept any more. It comes wrapped in an
	// *UnknownOutcomeError.
	ErrAnswered = errors.New("the session says that it has this answer already")
)

// UnknownOutcomeError says that what was asked, a command or a change of the
// membership, may have been applied, may still be
// applied, or may never be: the answer did not come in time.
type UnknownOutcomeError struct{ Cause error }

func (e *UnknownOutcomeError) Error() string {
	return "outcome unknown (it may yet happen): " + e.Cause.Error()
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Cause }

// DamagedError says that what this node stored of a group is not what it wrote.
//
// From Group.Err it is mostly Repairable: close what is left of the group and
// Join again, with a fresh machine. Join repairs what it can, fetches damaged
// blocks from the other members, and only then lets this node vote. From Join,
// or with Repairable unset, what only this node knew is lost: the text says how
// it becomes a new member with an empty directory.
type DamagedError struct {
	Group      string
	Index      codec.Index // where the damage starts; 0: not at an entry, or not known
	Repairable bool
	Cause      error
}

func (e *DamagedError) Error() string {
	text := fmt.Sprintf("group %q: %v", e.Group, e.Cause)
	if e.Repairable {
		text += "; join again, with a fresh machine, to repair it"
	}
	return text
}

func (e *DamagedError) Unwrap() error { return e.Cause }

// RejectedError says that a command was decided and the machine refused it:
// nothing was changed, on any member.
type RejectedError struct {
	Index  codec.Index // where the command stands in the log
	Reason string      // the machine's
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("rejected at index %d: %s", e.Index, e.Reason)
}

// RemovedError says by which entry this node was removed from the group: an
// operator's, its own Leave, or that it came back under another raft id. Whoever
// was removed comes back as a new member only, with an empty directory.
type RemovedError struct {
	Index codec.Index
	Dir   string // the directory that cannot be used any more, when that was opened
}

func (e *RemovedError) Error() string {
	text := fmt.Sprintf("%v, at index %d", ErrRemoved, e.Index)
	if e.Dir != "" {
		text += ": " + e.Dir + " cannot take part in it any more"
	}
	return text
}

// Unwrap is ErrRemoved.
func (e *RemovedError) Unwrap() error { return ErrRemoved }

// RefusedError says that the leader refuses what was asked, as things stand:
// nothing was changed.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "refused: " + e.Reason }
