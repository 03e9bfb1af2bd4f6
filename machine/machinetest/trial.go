package machinetest

import (
	"fmt"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// trial is one history of commands and the ways in which it is applied.
type trial struct {
	commands [][]byte
	gaps     []int // how many entries of other kinds stand before each command
	queries  [][]byte
	batches  []int // sizes of the random batches
}

// check applies the history in every way and compares them.
func (tr trial) check(fresh func() machine.Machine) error {
	single := newRun("one by one", fresh)
	whole := newRun("in one batch", fresh)
	again := newRun("in one batch, by another instance", fresh)
	pieces := newRun(fmt.Sprintf("in batches of %v", tr.batches), fresh)
	asked := newRun(fmt.Sprintf("in batches of %v, with queries in between", tr.batches), fresh)

	ones := make([]int, len(tr.commands))
	for i := range ones {
		ones[i] = 1
	}
	if err := single.all(tr, ones, false); err != nil {
		return err
	}
	for _, r := range []*run{whole, again} {
		if err := r.all(tr, []int{len(tr.commands)}, false); err != nil {
			return err
		}
	}
	if err := pieces.all(tr, tr.batches, false); err != nil {
		return err
	}
	if err := asked.all(tr, tr.batches, true); err != nil {
		return err
	}
	for _, r := range []*run{whole, again, pieces, asked} {
		if err := single.compare(r); err != nil {
			return err
		}
	}
	return nil
}

// all applies the trial's commands in batches of the given sizes, and asks the
// queries at the end, or after every batch.
func (r *run) all(tr trial, sizes []int, always bool) error {
	if err := r.checkSignature(); err != nil {
		return err
	}
	if err := r.note(); err != nil {
		return err
	}
	for _, size := range sizes {
		from := len(r.outcomes)
		if err := r.apply(tr.commands[from:from+size], tr.gaps[from:from+size]); err != nil {
			return err
		}
		if size == 1 {
			if err := r.checkRejected(); err != nil {
				return err
			}
		}
		if always {
			if err := r.ask(tr.queries); err != nil {
				return err
			}
		}
	}
	r.answers = nil // only those at the end are compared
	return r.ask(tr.queries)
}

// compare reports where two runs of one history differ.
func (r *run) compare(o *run) error {
	if a, b := r.machine.Signature(), o.machine.Signature(); a != b {
		return fmt.Errorf("two instances have the signatures %q and %q", a, b)
	}
	for i := range r.outcomes {
		if a, b := r.outcomes[i], o.outcomes[i]; a != b {
			return fmt.Errorf("command %d of the history, %s: applied %s, its outcome is %v; %s, it is %v",
				i, brief(r.commands[i]), r.way, a, o.way, b)
		}
	}
	for n := 0; n <= len(r.outcomes); n++ {
		a, inA := r.digests[n]
		b, inB := o.digests[n]
		if inA && inB && a != b {
			return fmt.Errorf("after %d commands: applied %s, the digest is %s; %s, it is %s",
				n, r.way, a.Short(), o.way, b.Short())
		}
	}
	for i := range r.answers {
		if a, b := r.answers[i], o.answers[i]; a != b {
			return fmt.Errorf("query %d: after the commands were applied %s, the answer is %v; %s, it is %v",
				i, r.way, a, o.way, b)
		}
	}
	return nil
}

// checkSame applies two histories of one state and compares the digests.
func checkSame(fresh func() machine.Machine, a, b [][]byte) error {
	var digests [2]codec.Digest
	for i, commands := range [][][]byte{a, b} {
		r := newRun("one by one", fresh)
		for _, c := range commands {
			r.index = 0 // every command is applied at index 1
			if err := r.apply([][]byte{c}, []int{0}); err != nil {
				return err
			}
		}
		digests[i] = r.machine.Digest()
	}
	if digests[0] != digests[1] {
		return fmt.Errorf("two histories of the same state have the digests %s and %s", digests[0].Short(), digests[1].Short())
	}
	return nil
}
