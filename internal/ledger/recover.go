package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/logmesh/logmesh/codec"
)

// End is where a log ends that lost its majority for good, as this ledger holds
// it: what Raft would find when it is opened next.
type End struct {
	Last   codec.Cursor        // the newest entry, committed or not
	Hard   codec.HardState     // raised by the adoption of blocks that are ahead
	Config codec.Configuration // at Last
}

// ErrNoLog: there is nothing to recover.
var ErrNoLog = errors.New("the ledger holds no entry")

// End is the ledger's end. Errors: ErrNoLog, ErrNotAdopted.
func (l *Ledger) End() (End, error) {
	release, err := l.exclusive()
	if err != nil {
		return End{}, err
	}
	defer release()
	_, end, err := l.end()
	return end, err
}

// ReadEnd is the end of the stopped ledger in dir, which is not changed.
func ReadEnd(disk vfs.FS, dir string, fold Fold) (end End, err error) {
	o, err := openOffline(disk, dir)
	if err != nil {
		return end, err
	}
	defer func() { err = errors.Join(err, o.abandon()) }()
	if err := o.load(); err != nil {
		return end, err
	}
	_, end, err = o.ledger(fold).end()
	return end, err
}

// end is the raft view from which a recovery goes on, and its end.
func (l *Ledger) end() (raftView, End, error) {
	v, err := l.ahead()
	if err != nil {
		return v, End{}, err
	}
	last := v.last()
	end := End{Last: codec.Cursor{Index: last, Term: v.terms.at(last)}, Hard: v.hard}
	end.Config, err = l.fold(v.sealedConfig, v.tail)
	return v, end, err
}

// ahead is the raft view, or what becomes of it by AdoptHead.
func (l *Ledger) ahead() (raftView, error) {
	v := l.raft
	switch s := l.synced.last; {
	case !v.exists && l.synced.blocks > 0:
		return v, ErrNotAdopted
	case !v.exists || max(v.last(), s.Index) == 0:
		return v, ErrNoLog
	case s.Index <= v.hard.Commit:
		return v, nil
	}
	blocks, config, err := l.checkAdopt(l.synced.last, nil)
	if err != nil {
		return v, err
	}
	v = adopted(&l.raft, l.synced.last)
	v.blocks, v.config, v.sealedConfig = blocks, config, config
	return v, nil
}

// fold is the configuration after entries.
func (l *Ledger) fold(c codec.Configuration, entries []codec.Entry) (codec.Configuration, error) {
	for _, e := range entries {
		if e.Kind != codec.KindConfig {
			continue
		}
		var err error
		if c, err = l.opts.Fold(c, e); err != nil {
			return c, fmt.Errorf("configuration entry %v: %w", e.Cursor(), err)
		}
	}
	return c, nil
}

// Recover makes this ledger's node the only member of a group that lost its
// majority for good, in one atomic synced write: entries behind all that End found
// (also what was not committed: the lost majority may have committed it), the hard
// state that commits them all, the configuration at their end as the applied one,
// and its log id. The last entry must begin another log, in which this node is the
// only voter and the only member. It is for the moment before Raft is opened.
func (l *Ledger) Recover(entries []codec.Entry) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	next, end, err := l.end()
	if err != nil {
		return fmt.Errorf("ledger: recover: %w", err)
	}
	config, err := l.checkRecovery(end, entries)
	if err != nil {
		return fmt.Errorf("ledger: recover: %w", err)
	}
	b := l.store.db.NewBatch()
	err = l.putAdopt(b, &next) // while next's tail is of the old one
	next.recovered(entries, config, l.raftID)
	if err = errors.Join(err, l.putRecovery(b, &next, entries)); err != nil {
		return errors.Join(fmt.Errorf("ledger: recover: %w", err), b.Close())
	}
	if err := l.commit(b, true); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raft, l.logID = next, config.Log
	return nil
}

// checkRecovery is the configuration to which entries lead from end.
func (l *Ledger) checkRecovery(end End, entries []codec.Entry) (codec.Configuration, error) {
	if len(entries) == 0 {
		return end.Config, errors.New("no entries")
	}
	term := entries[0].Term
	for i, e := range entries {
		if e.Kind != codec.KindConfig || e.Index != end.Last.Index+1+codec.Index(i) || e.Term != term {
			return end.Config, fmt.Errorf("entry %v, a %v, in place %d after %v", e.Cursor(), e.Kind, i, end.Last)
		}
		if err := codec.CheckEntry(e); err != nil {
			return end.Config, fmt.Errorf("entry %v: %w", e.Cursor(), err)
		}
	}
	if term <= end.Hard.Term || term < end.Last.Term {
		return end.Config, fmt.Errorf("term %d is not above %d", term, max(end.Hard.Term, end.Last.Term))
	}
	c, err := l.fold(end.Config, entries)
	if err != nil {
		return c, err
	}
	last := entries[len(entries)-1]
	m, ok := c.Member(l.raftID)
	if !ok || m.Role != codec.RoleVoter || len(c.Members) != 1 {
		return c, fmt.Errorf("it leads to %d members, and this node, %v, is not the one voter among them", len(c.Members), l.raftID)
	}
	if c.Log != codec.LogIDOf(last.Data) {
		return c, fmt.Errorf("the last entry, %v, does not begin another log", last.Cursor())
	}
	return c, nil
}

// recovered is what Recover makes of v. The vote is self's own: nobody else was
// elected in the term of the new entries.
func (v *raftView) recovered(entries []codec.Entry, c codec.Configuration, self codec.RaftID) {
	last := entries[len(entries)-1].Cursor()
	v.tail, v.terms = slices.Concat(v.tail, entries), slices.Clone(v.terms)
	for _, e := range entries {
		v.terms.add(e.Cursor())
	}
	v.hard = codec.HardState{Term: last.Term, Vote: self, Commit: last.Index}
	v.applied, v.config = last.Index, c
}

func (l *Ledger) putRecovery(b *pebble.Batch, next *raftView, entries []codec.Entry) error {
	for _, e := range entries {
		if err := setEntry(b, e); err != nil {
			return err
		}
	}
	return errors.Join(putView(b, next), setLogID(b, next.config.Log))
}
