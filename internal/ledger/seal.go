package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// putView writes the records of a raft view, except its tail.
func putView(b *pebble.Batch, v *raftView) error {
	applied, err := appliedBody(v.applied, v.config)
	if err != nil {
		return err
	}
	return errors.Join(
		set(b, single(prefixView), boundsBody(v.bounds)),
		set(b, single(prefixHard), hardBody(v.hard)),
		set(b, single(prefixApplied), applied),
	)
}

// Seal turns every whole block of the tail whose last entry is at or below
// commit into a block, and returns how many there were. Each is one atomic
// write, and not synced: the entries leave the tail in the same write in which
// the block arrives, so a crash leaves the one or the other.
//
// A block that is here already, from catch-up, must be the same; if it is not,
// Seal returns a *DivergenceError, and nothing is written any more.
func (l *Ledger) Seal(commit codec.Index) (blocks int, err error) {
	if err := l.enter(); err != nil {
		return 0, err
	}
	defer l.leave()
	l.raftMu.Lock()
	defer l.raftMu.Unlock()
	if !l.raft.exists {
		return 0, ErrNoRaftView
	}
	if commit > l.raft.last() {
		return 0, fmt.Errorf("ledger: seal to index %d, %d is the last", commit, l.raft.last())
	}
	for {
		n := wholeBlock(l.raft.tail, commit)
		if n == 0 {
			return blocks, nil
		}
		if err := l.sealOne(n); err != nil {
			return blocks, err
		}
		blocks++
	}
}

// wholeBlock is how many entries at the front of tail are one whole block that
// ends at or below commit; 0 if there is none.
func wholeBlock(tail []codec.Entry, commit codec.Index) int {
	var fill codec.BlockFill
	for i := range tail {
		if tail[i].Index > commit {
			return 0
		}
		if fill.Add(len(tail[i].Data)) {
			return i + 1
		}
	}
	return 0
}

// sealOne seals the first n entries of the tail; raftMu is held.
func (l *Ledger) sealOne(n int) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	entries := l.raft.tail[:n:n]
	data, err := codec.AppendBlock(make([]byte, 0, blockRoom(entries)), entries)
	if err != nil {
		return fmt.Errorf("ledger: seal: %w", err)
	}
	b := l.store.db.NewBatch()
	next, synced, err := l.putSeal(b, data, entries)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, false); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = synced
	v := &l.raft
	v.bounds, v.hard, v.sealedConfig = next.bounds, next.hard, next.sealedConfig
	v.dropSealed(n)
	return nil
}

func (l *Ledger) putSeal(b *pebble.Batch, data []byte, entries []codec.Entry) (next raftView, synced syncedView, err error) {
	next, synced = l.raft, l.synced
	leaf := codec.Leaf(data)
	if next.blocks < synced.blocks {
		if err := l.compare(next.blocks, leaf, entries); err != nil {
			return next, synced, err
		}
		if next.sealedConfig, err = l.store.configAt(next.blocks + 1); err != nil {
			return next, synced, err
		}
	} else {
		x := l.extend(b)
		if err := errors.Join(x.add(data, leaf, entries), x.finish()); err != nil {
			return next, synced, fmt.Errorf("ledger: seal: %w", err)
		}
		synced, next.sealedConfig = x.view, x.view.config
	}
	// One range costs a third less than a deletion for each entry (BenchmarkSave).
	first, end := numbered(prefixEntry, entries[0].Index), numbered(prefixEntry, entries[len(entries)-1].Index+1)
	if err := b.DeleteRange(first, end, nil); err != nil {
		return next, synced, err
	}
	next.sealed = entries[len(entries)-1].Cursor()
	next.blocks++
	next.hard.Commit = max(next.hard.Commit, next.sealed.Index)
	err = errors.Join(
		set(b, single(prefixView), boundsBody(next.bounds)),
		set(b, single(prefixHard), hardBody(next.hard)),
	)
	return next, synced, err
}

// compare holds a block that Raft decided against the one that catch-up stored.
func (l *Ledger) compare(number uint64, leaf codec.Hash, entries []codec.Entry) error {
	stored, err := l.store.nodes([]codec.TreeNode{{Number: number}})
	if err != nil || stored[0] == leaf {
		return err
	}
	d := &DivergenceError{
		What: fmt.Sprintf("block %d", number), Index: entries[len(entries)-1].Index,
		Ours: stored[0].Short(), Theirs: leaf.Short(),
	}
	l.mu.Lock()
	l.diverged = d
	l.mu.Unlock()
	return d
}

// blockRoom is enough for the encoding of entries.
func blockRoom(entries []codec.Entry) int {
	n := 64 + 16*len(entries)
	for i := range entries {
		n += len(entries[i].Data) + 5
	}
	return n
}
