package ledger

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// load reads everything that is kept in memory, checks that it fits together,
// and makes a new ledger if the directory is empty.
func (l *Ledger) load() error {
	s := l.store
	stopped, clean, err := readMarker(s.fs, l.opts.Dir)
	if err != nil {
		return err
	}
	fresh, err := s.checkFormat()
	if err != nil {
		return err
	}
	if fresh && clean {
		return &DamageError{What: "it was stopped cleanly, but its database is empty"}
	}
	if fresh {
		if err := l.create(); err != nil {
			return err
		}
	}
	if err := l.checkOwner(); err != nil {
		return err
	}
	if err := l.loadViews(); err != nil {
		return err
	}
	if clean {
		if err := stopped.check(l.stopped()); err != nil {
			return err
		}
	}
	if err := clearMarker(s.fs, l.opts.Dir); err != nil {
		return err
	}
	if err := l.sweep(); err != nil {
		return err
	}
	return s.w.failure()
}

// checkFormat refuses unknown formats; fresh tells that nothing was ever written.
func (s *store) checkFormat() (fresh bool, err error) {
	body, found, err := s.record(single(prefixFormat), "the format version")
	if err != nil {
		return false, err
	}
	if !found {
		some, err := s.any(nil, nil)
		if err == nil && some {
			err = &DamageError{What: "the format version", Cause: errGone}
		}
		return err == nil, err
	}
	n, err := readNumbers(body, 1)
	if err != nil {
		return false, damage("the format version", 0, err)
	}
	if n[0] != formatVersion {
		return false, &FormatError{Stored: n[0], Known: formatVersion}
	}
	return false, nil
}

// any reports whether there is a key in [lower, upper).
func (s *store) any(lower, upper []byte) (some bool, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return false, err
	}
	some = it.First()
	return some, errors.Join(it.Error(), it.Close())
}

// create writes the first records of a new ledger. Pebble makes the log of a new
// database in its oldest format, in which damage looks like an end; closing and
// opening it again makes one in which damage is found.
func (l *Ledger) create() error {
	if err := l.store.reopen(); err != nil {
		return err
	}
	b := l.store.db.NewBatch()
	o := owner{group: l.opts.Group, salt: l.opts.Salt, peer: l.opts.Peer}
	err := errors.Join(
		set(b, single(prefixFormat), numbersBody(formatVersion)),
		set(b, single(prefixOwner), ownerBody(o)),
	)
	if err != nil {
		return err
	}
	return l.store.commit(b, true)
}

func (l *Ledger) checkOwner() error {
	o, err := l.store.owner()
	if err != nil {
		return err
	}
	if o.group != l.opts.Group {
		return &ForeignError{Field: "group", Stored: o.group.String(), Given: l.opts.Group.String()}
	}
	if o.peer != l.opts.Peer {
		return &ForeignError{Field: "peer", Stored: string(o.peer), Given: string(l.opts.Peer)}
	}
	l.raftID = codec.RaftIDOf(o.peer, o.salt)
	return nil
}

func (s *store) owner() (o owner, err error) {
	body, found, err := s.record(single(prefixOwner), "its owner")
	if err == nil && !found {
		err = &DamageError{What: "its owner", Cause: errGone}
	}
	if err != nil {
		return o, err
	}
	if o, err = readOwner(slices.Clone(body)); err != nil {
		return o, damage("its owner", 0, err)
	}
	return o, nil
}

func (l *Ledger) loadViews() (err error) {
	if l.logID, err = l.store.logID(); err != nil {
		return err
	}
	if l.removed, err = l.store.removedAt(); err != nil {
		return err
	}
	if l.synced, err = l.store.loadSynced(); err != nil {
		return err
	}
	if l.raft, err = l.store.loadRaft(l.synced); err != nil {
		return err
	}
	return checkLogID(l.logID, l.raftID, &l.raft)
}

func (s *store) logID() (id codec.LogID, err error) {
	body, found, err := s.record(single(prefixLog), "the log id")
	if err != nil || !found {
		return id, err
	}
	if len(body) != len(id) {
		return id, damage("the log id", 0, errSize)
	}
	return codec.LogID(body), nil
}

// loadSynced reads the synced view and holds its head against the tree.
func (s *store) loadSynced() (syncedView, error) {
	body, found, err := s.record(single(prefixHead), "the head of the blocks")
	if err != nil || !found {
		return emptySynced(), err
	}
	last, head, err := readHead(body)
	if err != nil {
		return syncedView{}, damage("the head of the blocks", 0, err)
	}
	v, err := s.syncedAt(head.Blocks)
	if err != nil {
		return v, err
	}
	if v.root != head.Root || v.last != last {
		return v, &DamageError{What: fmt.Sprintf("the head says %v, the block tree %v", head, v.head()), Index: v.last.Index}
	}
	return v, nil
}

// sweep deletes what lies beyond the head: blocks that were made durable before
// the write that would have made them count.
func (l *Ledger) sweep() error {
	s, blocks, last := l.store, l.synced.blocks, l.synced.last.Index
	beyond := [][2][]byte{
		{numbered(prefixBlock, blocks), after(prefixBlock)},
		{numbered(prefixSpan, blocks), after(prefixSpan)},
		{numbered(prefixFirst, last+1), after(prefixFirst)},
		{numbered(prefixConfig, blocks+1), after(prefixConfig)},
		{nodeKey(codec.TreeNode{Number: blocks}), []byte{prefixNode, 1}},
	}
	for _, r := range beyond {
		some, err := s.any(r[0], r[1])
		if err != nil {
			return err
		}
		if some {
			b := s.db.NewBatch()
			if err := putDrop(b, blocks, last); err != nil {
				return errors.Join(err, b.Close())
			}
			return s.commit(b, true)
		}
	}
	return nil
}
