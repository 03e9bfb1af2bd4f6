package disk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// End is the ledger's end. Errors: ledger.ErrNoLog, ledger.ErrNotAdopted.
func (l *Ledger) End() (ledger.End, error) {
	if l.closed {
		return ledger.End{}, ledger.ErrClosed
	}
	_, end, err := l.end()
	return end, err
}

// end is what AdoptHead would write, and the ledger's end after that.
func (l *Ledger) end() (b batch, end ledger.End, err error) {
	s := l.now
	head := s.end(len(s.blocks)).Index
	switch {
	case s.view == nil && head > 0:
		return b, end, ledger.ErrNotAdopted
	case s.view == nil || max(s.last().Index, head) == 0:
		return b, end, ledger.ErrNoLog
	case head > s.hard.Commit:
		if b, err = l.adoption(len(s.blocks)); err != nil {
			return b, end, err
		}
	}
	s = s.with(b)
	end = ledger.End{Last: s.last(), Hard: s.hard}
	end.Config, err = l.derive(s.configAt(s.view.sealed), s.tail)
	return b, end, err
}

// derive is the configuration after entries.
func (l *Ledger) derive(c codec.Configuration, entries []codec.Entry) (_ codec.Configuration, err error) {
	for _, e := range entries {
		if e.Kind != codec.KindConfig {
			continue
		}
		if c, err = l.fold(c, e); err != nil {
			return c, fmt.Errorf("configuration entry %v: %w", e.Cursor(), err)
		}
	}
	return c, nil
}

// Recover makes this ledger's node the only member of a group that lost its
// majority for good, in one synced write: entries behind all that End found, the
// hard state that commits them, the configuration at their end, and its log id.
func (l *Ledger) Recover(entries []codec.Entry) error {
	if l.closed {
		return ledger.ErrClosed
	}
	b, end, err := l.end()
	if err != nil {
		return fmt.Errorf("disk: recover: %w", err)
	}
	config, err := l.checkRecovery(end, entries)
	if err != nil {
		return fmt.Errorf("disk: recover: %w", err)
	}
	s := l.now.with(b)
	tail, last := slices.Concat(s.tail, entries), entries[len(entries)-1]
	b.tail, b.log = &tail, &config.Log
	b.hard = &codec.HardState{Term: last.Term, Vote: l.RaftID(), Commit: last.Index}
	b.applied = &applied{index: last.Index, config: config}
	return l.write(OnRecover, b, true)
}

// checkRecovery is the configuration to which entries lead from end.
func (l *Ledger) checkRecovery(end ledger.End, entries []codec.Entry) (c codec.Configuration, err error) {
	if len(entries) == 0 {
		return c, errors.New("no entries")
	}
	last := entries[len(entries)-1]
	for i, e := range entries {
		if e.Kind != codec.KindConfig || e.Index != end.Last.Index+1+codec.Index(i) || e.Term != last.Term {
			return c, fmt.Errorf("entry %v, a %v, in place %d after %v", e.Cursor(), e.Kind, i, end.Last)
		}
		if err := codec.CheckEntry(e); err != nil {
			return c, fmt.Errorf("entry %v: %w", e.Cursor(), err)
		}
	}
	if last.Term <= max(end.Hard.Term, end.Last.Term) {
		return c, fmt.Errorf("term %d is not above that of %+v", last.Term, end)
	}
	if c, err = l.derive(end.Config, entries); err != nil {
		return c, err
	}
	if m, ok := c.Member(l.RaftID()); !ok || m.Role != codec.RoleVoter || len(c.Members) != 1 {
		return c, errors.New("it does not lead to this node as the only voter and member")
	}
	if c.Log != codec.LogIDOf(last.Data) {
		return c, fmt.Errorf("the last entry, %v, does not begin another log", last.Cursor())
	}
	return c, nil
}
