package disk

import (
	"errors"
	"slices"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Disk is what a crash leaves of a ledger. At most one Ledger has it open.
type Disk struct {
	// Hooks are mistakes to make; none by default.
	Hooks Hooks
	// Fault, if not nil, is told of every write before it is done, and says how
	// it ends.
	Fault func(Write) Outcome
	// Full is what Ledger.Full reports.
	Full bool

	states []state // after the last synced write, and after each write since
	writes uint64
	marker *marker // of a clean stop
	user   *Ledger // who has it open
}

// Write is a write that is about to be done.
type Write struct {
	Number uint64 // from 1, over the life of the disk
	Op     Op
	Sync   bool // durable when it returns
}

// Outcome is how a write ends.
type Outcome uint8

// Outcomes of a write. All but OK are reported as a *ledger.FailedError.
const (
	OK       Outcome = iota
	NotDone          // nothing of it is there
	Unsynced         // it is there, but not durable: the sync failed
	Done             // it is there, and durable if that was asked for
)

// New is an empty disk.
func New() *Disk { return &Disk{states: make([]state, 1)} }

// Writes is how many writes there were in the life of the disk, failed ones
// included.
func (d *Disk) Writes() uint64 { return d.writes }

// Unsynced is how many writes a crash could lose now.
func (d *Disk) Unsynced() int { return len(d.states) - 1 }

// Crash ends the use of the disk by whoever has it open. keep is told how many
// writes are not synced, and says how many of them survive, oldest first; without
// keep none does.
func (d *Disk) Crash(keep func(unsynced int) int) {
	n := 0
	if keep != nil && d.Unsynced() > 0 {
		n = min(max(keep(d.Unsynced()), 0), d.Unsynced())
	}
	d.states = []state{d.states[n]}
	if d.user != nil {
		d.user.closed = true
		d.user = nil
	}
}

// Clone is a copy of the disk that nobody has open, without Hooks and Fault.
func (d *Disk) Clone() *Disk {
	return &Disk{Full: d.Full, states: slices.Clone(d.states), writes: d.writes, marker: d.marker}
}

func (d *Disk) last() state { return d.states[len(d.states)-1] }

// errInjected is the cause of every failure that Fault asks for.
var errInjected = errors.New("input/output error")

// commit does one write.
func (d *Disk) commit(op Op, b batch, sync bool) error {
	d.writes++
	end := OK
	if d.Fault != nil {
		end = d.Fault(Write{Number: d.writes, Op: op, Sync: sync})
	}
	if end != NotDone {
		for _, r := range d.Hooks.stored(op, b) {
			d.states = append(d.states, d.last().with(r))
		}
		if sync && end != Unsynced && d.Hooks.SkipSync&op == 0 {
			d.synced()
		}
	}
	if end != OK {
		return &ledger.FailedError{Path: "the simulated disk", Cause: errInjected}
	}
	return nil
}

// synced forgets the states that a crash cannot bring back any more.
func (d *Disk) synced() {
	last := d.last()
	clear(d.states)
	d.states = append(d.states[:0], last)
}

// marker is what a ledger held at its clean stop.
type marker struct {
	last   codec.Cursor
	commit codec.Index
	head   codec.Head
}

func (s *state) marker() marker {
	return marker{last: s.last(), commit: s.hard.Commit, head: s.head()}
}

// Open opens the ledger on d, or makes one. The errors are ledger.ErrInUse,
// *ledger.ForeignError, *ledger.DamageError, and *ledger.FailedError.
func Open(d *Disk, opts ledger.Options) (*Ledger, error) {
	if d.user != nil {
		return nil, ledger.ErrInUse
	}
	given := owner{group: opts.Group, peer: opts.Peer, salt: opts.Salt}
	if d.last().owner == nil {
		if err := d.commit(OnCreate, batch{owner: &given}, true); err != nil {
			return nil, err
		}
	}
	s := d.last()
	if err := s.owner.check(given); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if d.marker != nil && *d.marker != s.marker() {
		return nil, damage(0, "at its clean stop it held %+v, now it holds %+v", *d.marker, s.marker())
	}
	d.marker = nil
	d.synced()
	d.user = newLedger(d, s.clipped(), opts)
	return d.user, nil
}

func (o owner) check(given owner) error {
	if o.group != given.group {
		return &ledger.ForeignError{Field: "group", Stored: o.group.String(), Given: given.group.String()}
	}
	if o.peer != given.peer {
		return &ledger.ForeignError{Field: "peer", Stored: string(o.peer), Given: string(given.peer)}
	}
	return nil
}
