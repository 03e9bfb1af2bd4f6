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
	fresh, err := s.checkFormat()
	if err != nil {
		return err
	}
	if fresh {
		if s.exists(s.in(markerFile)) {
			return &DamageError{What: "it was stopped cleanly, but its database is empty"}
		}
		if err := l.create(); err != nil {
			return err
		}
	}
	if err := l.checkOwner(); err != nil {
		return err
	}
	if err := l.loadGaps(); err != nil {
		return err
	}
	if l.gaps.open {
		return l.loadTorn()
	}
	if err := l.loadViews(); err != nil {
		return err
	}
	return l.resume()
}

// resume holds the views against the marker of the last clean stop, and removes
// it: from now on there are writes that it does not know. A damaged marker is
// passed over. It is a second witness of what the database says itself, and
// without it things are as after a crash; and where one thing is damaged, the
// other is not.
func (l *Ledger) resume() error {
	s := l.store
	stopped, clean, err := readMarker(s.fs, l.opts.Dir)
	var damaged *DamageError
	if errors.As(err, &damaged) {
		l.opts.Logger.Warn("ledger: the marker of the clean stop is damaged; going on as after a crash", "dir", l.opts.Dir, "err", err)
	} else if err != nil {
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

// loadGaps reads which blocks are missing after a repair. When none is, what
// follows from the blocks is made anew.
func (l *Ledger) loadGaps() error {
	g, err := l.store.gaps()
	if err != nil || !g.open {
		return err
	}
	if len(g.missing) > 0 {
		l.gaps = g
		return nil
	}
	err = l.rebuild()
	var misfit *misfitError
	if errors.As(err, &misfit) && len(g.unproved) > 0 {
		return l.takeBack(g)
	}
	if misfit != nil {
		return &DamageError{What: "its blocks", Cause: misfit}
	}
	return err
}

// gaps reads the record of missing blocks; without one there are none.
func (s *store) gaps() (g gaps, err error) {
	const what = "the record of missing blocks"
	body, found, err := s.record(single(prefixGaps), what)
	if err != nil || !found {
		return g, err
	}
	if g, err = readGaps(body); err != nil {
		return g, damage(what, 0, err)
	}
	g.whole = s.wholeTo(g)
	return g, nil
}

// loadTorn loads what is known of a ledger with holes.
func (l *Ledger) loadTorn() (err error) {
	if l.logID, err = l.store.logID(); err != nil {
		return err
	}
	if l.removed, err = l.store.removedAt(); err != nil {
		return err
	}
	last, head, _, err := l.store.headRecord()
	if err != nil {
		return err
	}
	l.synced = syncedView{blocks: head.Blocks, last: last, root: head.Root, tree: codec.NewTree()}
	if _, c, err := l.store.applied(); err == nil { // a joiner has none yet
		l.synced.config = c
	}
	return l.store.w.failure()
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
	if err := o.check(l.opts); err != nil {
		return err
	}
	l.raftID = codec.RaftIDOf(o.peer, o.salt)
	return nil
}

// check refuses the ledger of another group or peer.
func (o owner) check(opts Options) error {
	if o.group != opts.Group {
		return &ForeignError{Field: "group", Stored: o.group.String(), Given: opts.Group.String()}
	}
	if o.peer != opts.Peer {
		return &ForeignError{Field: "peer", Stored: string(o.peer), Given: string(opts.Peer)}
	}
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
	if err := l.store.checkDerived(l.synced); err != nil {
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

func (s *store) headRecord() (last codec.Cursor, head codec.Head, found bool, err error) {
	const what = "the head of the blocks"
	body, found, err := s.record(single(prefixHead), what)
	if err != nil || !found {
		return last, head, false, err
	}
	if last, head, err = readHead(body); err != nil {
		return last, head, true, damage(what, 0, err)
	}
	return last, head, true, nil
}

// loadSynced reads the synced view and holds its head against the tree.
func (s *store) loadSynced() (syncedView, error) {
	last, head, found, err := s.headRecord()
	if err != nil || !found {
		return emptySynced(), err
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
