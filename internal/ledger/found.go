package ledger

import (
	"errors"

	"github.com/logmesh/logmesh/codec"
)

// errNotEmpty: only a ledger without a log can begin one.
var errNotEmpty = errors.New("ledger: it holds a log already")

// Found makes e, which must be entry 1, the first and committed entry of a new
// log: hard state {term of e, no vote, commit 1}, nothing applied, an empty
// configuration. It is durable when Found returns. A ledger that holds anything
// of a log is refused.
func (l *Ledger) Found(e codec.Entry) error {
	if e.Index != 1 || e.Term == 0 || e.Kind != codec.KindConfig {
		return errors.New("ledger: a log is founded by a configuration at index 1")
	}
	if err := codec.CheckEntry(e); err != nil {
		return err
	}
	return l.begin(&e)
}

// OpenEmpty makes an empty raft view, for a joiner of a log without a sealed
// block. It is durable when OpenEmpty returns; on a ledger with a raft view it
// does nothing, with blocks but without a raft view it is refused.
func (l *Ledger) OpenEmpty() error {
	if l.HasRaftView() {
		return nil
	}
	return l.begin(nil)
}

// begin makes a raft view that holds nothing, or entry 1 alone.
func (l *Ledger) begin(first *codec.Entry) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	if l.raft.exists || l.synced.blocks > 0 {
		return errNotEmpty
	}
	view := raftView{exists: true, terms: termRuns{{}}}
	id := l.LogID()
	b := l.store.db.NewBatch()
	if first != nil {
		id = codec.LogIDOf(first.Data)
		if err := errors.Join(l.putLogID(b, id), setEntry(b, *first)); err != nil {
			return errors.Join(err, b.Close())
		}
		view.hard = codec.HardState{Term: first.Term, Commit: 1}
		view.tail = []codec.Entry{*first}
		view.terms.add(first.Cursor())
	}
	if err := putView(b, &view); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, true); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raft, l.logID = view, id
	return nil
}
