package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// ErrInUse: another process, or another Ledger of this one, has the directory open.
var ErrInUse = errors.New("the directory is in use by another process")

// ErrClosed is returned by everything that needs the disk once Close was called.
var ErrClosed = errors.New("the ledger is closed")

// ErrNoRaftView: the ledger was neither founded, nor adopted, nor opened empty,
// so there is nothing that Raft could write to.
var ErrNoRaftView = errors.New("the ledger has no raft view yet")

// errHoles: blocks are missing, and until Fill brought them nothing else is written.
var errHoles = errors.New("the ledger is being repaired: blocks are missing")

// ForeignError says that the directory belongs to another group or another peer.
type ForeignError struct {
	Field  string // "group" or "peer"
	Stored string // whose it is
	Given  string // who wanted to open it
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("this directory belongs to %s %s, not to %s", e.Field, e.Stored, e.Given)
}

// ErrNotAdopted: the ledger holds blocks that a joiner fetched, and Raft never
// took them over.
var ErrNotAdopted = errors.New("this node was still catching up with its group for the first time: what it fetched was never compared with the leader's log")

// LogIDError says that the ledger holds one log and was shown another.
type LogIDError struct{ Stored, Given codec.LogID }

func (e *LogIDError) Error() string {
	return fmt.Sprintf("this ledger holds log %v, not log %v", e.Stored, e.Given)
}

// FormatError says that the directory was written in a format that this program
// does not know.
type FormatError struct{ Stored, Known uint64 }

func (e *FormatError) Error() string {
	return fmt.Sprintf("the ledger has format version %d, this program knows version %d", e.Stored, e.Known)
}

// DamageError says that stored bytes are not what was written.
type DamageError struct {
	What  string
	Index codec.Index // where the damage starts; 0: not at an entry, or not known
	Cause error       // may be nil
	// Lost is set by Repair: what only this node knew is gone. It is the
	// directory, which is of use to nobody any more.
	Lost string
}

func (e *DamageError) Error() string {
	text := "the ledger is damaged: " + e.What
	if e.Index != 0 {
		text += fmt.Sprintf(", at index %d", e.Index)
	}
	if e.Cause != nil {
		cause, _, _ := strings.Cut(e.Cause.Error(), "\n") // Pebble's have details behind
		text += ": " + cause
	}
	if e.Lost != "" {
		text += ". This node cannot know any more what it promised, so it must not vote. Move " + e.Lost +
			" away and join the group again: it comes back as a new member under a new raft id, and its old vote is not used again"
	}
	return text
}

func (e *DamageError) Unwrap() error { return e.Cause }

// DivergenceError says that two histories of one log met: what this ledger holds
// is not what it was shown for the same place. It is an alarm, not an ordinary
// failure.
type DivergenceError struct {
	What         string      // what differs: "block", "term", "configuration"
	Index        codec.Index // where, or the last index of the block
	Ours, Theirs string
}

func (e *DivergenceError) Error() string {
	return fmt.Sprintf("two histories of one log: the %s at index %d is %s here and %s there", e.What, e.Index, e.Ours, e.Theirs)
}

// FailedError is a write or sync that failed. A half-known disk must not vote:
// once it happened every later write returns it, and only a restart recovers.
type FailedError struct {
	Path  string
	Cause error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("a write to %s failed: %v", e.Path, e.Cause)
}

func (e *FailedError) Unwrap() error { return e.Cause }

// isDamage reports whether err says that stored bytes are wrong, rather than that
// they could not be read.
func isDamage(err error) bool {
	for _, wrong := range []error{errSum, errSize, errGone, errLeaf, io.EOF, io.ErrUnexpectedEOF, fs.ErrNotExist} {
		if errors.Is(err, wrong) {
			return true
		}
	}
	return pebble.IsCorruptionError(err)
}

// damage names a record in a *DamageError, if err says that its bytes are wrong;
// other errors say what was being done.
func damage(what string, index codec.Index, err error) error {
	if isDamage(err) {
		return &DamageError{What: what, Index: index, Cause: err}
	}
	return fmt.Errorf("read %s: %w", what, err)
}
