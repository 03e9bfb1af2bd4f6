package disk

import (
	"fmt"

	"github.com/logmesh/logmesh/codec"
)

// Op is a kind of write, or a set of kinds.
type Op uint16

// The writes of a ledger; each is named after the method that does it.
const (
	OnCreate Op = 1 << iota // of a new ledger, by Open
	OnFound
	OnOpenEmpty
	OnSave
	OnSeal
	OnRelease
	OnDrop
	OnAdopt
	OnMoveHorizon
	OnSetRaftApplied
	OnSetLogID
	OnSetRemoved
	OnRecover
	OnClose

	OnAll Op = 1<<iota - 1
)

func (o Op) String() string {
	names := [...]string{
		"create", "found", "open empty", "save", "seal", "release", "drop", "adopt", "move horizon",
		"set raft-applied", "set log id", "set removed", "recover", "close",
	}
	for i, name := range names {
		if o == 1<<i {
			return name
		}
	}
	return fmt.Sprintf("writes %b", uint16(o))
}

// Hooks are mistakes that a ledger could make.
type Hooks struct {
	// On disk: memory is right until the next Open.

	// SkipSync are the kinds of writes that are reported synced and are not.
	SkipSync Op
	// Torn are the kinds of writes of which every record is a write of its own,
	// so that a crash can leave some of them.
	Torn Op
	// ForgetVote stores every hard state without its vote.
	ForgetVote bool
	// DropHard stores nothing of the hard states that Save is given.
	DropHard bool
	// DropEntries stores nothing of the entries that Save is given.
	DropEntries bool
	// AdoptWithoutApplied moves the bounds at an adoption, but stores neither
	// raft-applied nor its configuration.
	AdoptWithoutApplied bool
	// AdoptWithoutHard moves the bounds at an adoption, but leaves term, vote and
	// commit index as they were.
	AdoptWithoutHard bool
	// SealWithoutHard moves the bounds when a block is sealed, but leaves the commit
	// index below its end.
	SealWithoutHard bool
	// SealKeepsTail leaves the tail records of a sealed block where they are.
	SealKeepsTail bool

	// On disk and in memory.

	// AdoptKeepsConfig raises raft-applied at an adoption, with the configuration
	// from before.
	AdoptKeepsConfig bool
	// AdoptKeepsVote keeps the vote at an adoption that raises the term.
	AdoptKeepsVote bool
	// AdoptKeepsTail keeps what the tail holds above an adopted position, though it
	// may be of another history.
	AdoptKeepsTail bool
	// AdoptLosesTail drops what the tail holds above an adopted position, though it
	// is of the same history and may be acknowledged.
	AdoptLosesTail bool
	// SealUnchecked takes a block that catch-up stored for the one that Raft
	// decided, without comparing them.
	SealUnchecked bool
	// HideUnapplied moves the horizon without regard to the floor and raft-applied.
	HideUnapplied bool
	// ReadTailFirst gives replay an entry of the tail, though a block has another
	// one at that index.
	ReadTailFirst bool
	// ReadUndecided gives replay entries of the tail above the commit index.
	ReadUndecided bool
}

// stored is what reaches the disk, one write after the other, when b is written.
func (h *Hooks) stored(op Op, b batch) []batch {
	if h.ForgetVote && b.hard != nil {
		b.hard = &codec.HardState{Term: b.hard.Term, Commit: b.hard.Commit}
	}
	if h.DropHard && op == OnSave || h.AdoptWithoutHard && op == OnAdopt || h.SealWithoutHard && op == OnSeal {
		b.hard = nil
	}
	if h.AdoptWithoutApplied && op == OnAdopt {
		b.applied = nil
	}
	if h.DropEntries && op == OnSave || h.SealKeepsTail && op == OnSeal {
		b.tail = nil
	}
	if h.Torn&op != 0 {
		return b.records()
	}
	return []batch{b}
}
