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
	// ErrRemoved: this node is no member any more.
	ErrRemoved = errors.New("this node was removed from the group")
	// ErrSessionExpired: the group forgot the client session in which a command
	// was sent, so whether it was applied cannot be told. It comes wrapped in an
	// *UnknownOutcomeError.
	ErrSessionExpired = errors.New("session expired")
)

// UnknownOutcomeError says that a command may have been applied, may still be
// applied, or may never be: the answer did not come in time.
type UnknownOutcomeError struct{ Cause error }

func (e *UnknownOutcomeError) Error() string {
	return "outcome unknown (the command may still be applied): " + e.Cause.Error()
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Cause }

// RejectedError says that a command was decided and the machine refused it:
// nothing was changed, on any member.
type RejectedError struct {
	Index  codec.Index // where the command stands in the log
	Reason string      // the machine's
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("rejected at index %d: %s", e.Index, e.Reason)
}
