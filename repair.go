package logmesh

import (
	"errors"

	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
)

// openRepaired opens a ledger. A damaged one is repaired first, as far as that
// goes; what is then still missing comes from the other members.
func openRepaired(opts ledger.Options) (*ledger.Ledger, error) {
	l, err := ledger.Open(opts)
	var damage *ledger.DamageError
	if !errors.As(err, &damage) || damage.Lost != "" || opts.Memory {
		return l, err
	}
	opts.Logger.Warn("the ledger is damaged; repairing it", "dir", opts.Dir, "err", err)
	done, err := ledger.Repair(opts)
	if err != nil {
		return nil, err
	}
	if done.Missing == 0 {
		opts.Logger.Info("the ledger is repaired", "dir", opts.Dir, "blocks", done.Blocks)
	} else {
		opts.Logger.Warn("the ledger is repaired, but for blocks that other members have", "dir", opts.Dir,
			"blocks", done.Blocks, "missing", done.Missing, "first_index", done.First)
	}
	return ledger.Open(opts)
}

// damaged is the *DamagedError that err tells of; nil if it is something else.
func damaged(err error) *DamagedError {
	var (
		damage *ledger.DamageError
		lost   *consensus.LostEntriesError
	)
	switch {
	case errors.As(err, &damage):
		return &DamagedError{Index: damage.Index, Repairable: damage.Lost == "", Cause: err}
	case errors.As(err, &lost):
		return &DamagedError{Index: lost.Last + 1, Cause: err}
	}
	return nil
}
