package ledger

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/logmesh/logmesh/codec"
)

// Stats is what a stopped ledger holds.
type Stats struct {
	Group  codec.GroupID
	Peer   codec.PeerID
	RaftID codec.RaftID
	LogID  codec.LogID // zero: not known yet
	Before []codec.Recovery

	Head    codec.Head // of the blocks
	Missing uint64     // of them, in a repair that is not finished
	Bytes   int64      // of the ledger's files
	Config  codec.Configuration
	// Removed is by which entry this node was removed; 0: not, or it does not know.
	Removed codec.Index

	RaftView    bool // the following is set only then
	First, Last codec.Index
	Hard        codec.HardState
	Applied     codec.Index // by Raft
	Tail        int         // entries that are in no block
	Stopped     bool        // cleanly, the last time
}

// offline is a stopped ledger, open for reading.
type offline struct {
	*store
	synced  syncedView
	missing ranges
	raft    raftView
}

// openOffline opens the ledger in dir without changing it. The errors are those
// of Open.
func openOffline(disk vfs.FS, dir string) (*offline, error) {
	s, err := openStore(disk, dir, slog.New(slog.DiscardHandler), true)
	if err != nil {
		return nil, err
	}
	fresh, err := s.checkFormat()
	if err == nil && fresh {
		err = &DamageError{What: "the format version", Cause: errGone}
	}
	if err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	return &offline{store: s}, nil
}

// ledger is a Ledger of what was loaded, for reading.
func (o *offline) ledger(fold Fold) *Ledger {
	return &Ledger{opts: Options{Fold: fold}, store: o.store, raft: o.raft, synced: o.synced}
}

func (o *offline) load() error {
	g, err := o.gaps()
	if err != nil {
		return err
	}
	if g.open {
		return o.loadTorn(g)
	}
	if o.synced, err = o.loadSynced(); err != nil {
		return err
	}
	o.raft, err = o.loadRaft(o.synced)
	return err
}

// loadTorn takes the head as it stands, so that the blocks that are here can be
// listed, and says that others are not.
func (o *offline) loadTorn(g gaps) error {
	last, head, _, err := o.headRecord()
	if err != nil {
		return err
	}
	o.synced = syncedView{blocks: head.Blocks, last: last, root: head.Root}
	o.missing = g.missing
	return &DamageError{What: fmt.Sprintf("a repair is not finished: %d blocks are missing; the node fetches them once it is started", g.missing.blocks()), Index: g.whole + 1}
}

// Stat tells what the stopped ledger in dir holds. If some of it is damaged, st
// has the rest, and err is the first *DamageError.
func Stat(disk vfs.FS, dir string) (st Stats, err error) {
	o, err := openOffline(disk, dir)
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, o.abandon()) }()
	loadErr := o.load()
	owner, ownerErr := o.owner()
	if ownerErr == nil {
		st = Stats{Group: owner.group, Peer: owner.peer, RaftID: codec.RaftIDOf(owner.peer, owner.salt)}
	}
	log, logErr := o.logID()
	st.LogID = log
	removed, removedErr := o.removedAt()
	st.Removed, st.Before = removed, o.ledger(nil).beforeLog(log)
	st.Head, st.Config, st.Bytes, st.Missing = o.synced.head(), o.synced.config, o.diskBytes(), o.missing.blocks()
	if v := &o.raft; v.exists && loadErr == nil {
		st.RaftView, st.First, st.Last = true, v.prev.Index+1, v.last()
		st.Hard, st.Applied, st.Tail = v.hard, v.applied, len(v.tail)
	}
	_, stopped, markerErr := readMarker(disk, dir)
	st.Stopped = stopped
	for _, err := range []error{loadErr, ownerErr, logErr, removedErr, markerErr} {
		if err != nil {
			return st, err
		}
	}
	return st, nil
}

// Verify reads everything in the stopped ledger in dir and reports each damage
// that it finds: records that are not what was written, blocks that do not match
// the tree, a tree that does not match its head, views that do not fit together,
// a database behind its clean stop. With fold it derives every configuration from
// the log again, and with them the log id, through every recovery. It fails only if
// it could not look.
func Verify(disk vfs.FS, dir string, fold Fold, report func(*DamageError)) error {
	tell := func(err error) error {
		var d *DamageError
		if errors.As(err, &d) {
			report(d)
			return nil
		}
		return err
	}
	o, err := openOffline(disk, dir)
	if err != nil {
		return tell(err)
	}
	defer func() { _ = o.abandon() }()
	if err := tell(o.checkFlags()); err != nil {
		return err
	}
	whole := true
	if g, err := o.gaps(); err == nil && g.open {
		return tell(o.loadTorn(g)) // what follows from the blocks is made anew at its end
	}
	chain := chain{fold: fold}
	steps := []func() error{
		o.load, o.verifyRecords,
		func() error { return o.verifyBlocks(tell, &chain) }, func() error { return o.verifyEnd(&chain) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			whole = false
			if err := tell(err); err != nil {
				return err
			}
		}
	}
	if !whole {
		return nil
	}
	stopped, clean, err := readMarker(disk, dir)
	if err == nil && clean {
		err = stopped.check(o.ledger(fold).stopped())
	}
	return tell(err)
}

// verifyRecords checks those records that load does not read.
func (o *offline) verifyRecords() error {
	if _, err := o.owner(); err != nil {
		return err
	}
	if _, err := o.logID(); err != nil {
		return err
	}
	if _, err := o.removedAt(); err != nil {
		return err
	}
	for _, prefix := range []byte{prefixConfig, prefixFirst, prefixSpan} {
		if err := o.verifyPrefix(prefix); err != nil {
			return err
		}
	}
	return nil
}

// verifyPrefix checks the sums of all records with a prefix.
func (s *store) verifyPrefix(prefix byte) error {
	return s.each(single(prefix), after(prefix), func(key, value []byte) error {
		if _, err := bodyOf(key, value); err != nil {
			return damage(fmt.Sprintf("record %q", key), 0, err)
		}
		return nil
	})
}

// verifyBlocks holds every block against its leaf, its place and the one before
// it, and every node of the tree against the leaves.
func (o *offline) verifyBlocks(tell func(error) error, c *chain) error {
	tree, prev, broken := codec.NewTree(), codec.Cursor{}, false
	for n := uint64(0); n < o.synced.blocks; n++ {
		end, err := o.verifyBlock(n, prev, tree, c)
		prev = end
		if err == nil {
			continue
		}
		if err := tell(err); err != nil {
			return err
		}
		broken, c.fold = true, nil // the configurations cannot be derived any further
		leaf, err := o.nodes([]codec.TreeNode{{Number: n}})
		if err != nil {
			return nil // told already, and without it the tree cannot go on
		}
		if tree.Size() == n {
			tree.Append(leaf[0], nil)
		}
	}
	if !broken && tree.Root() != o.synced.root {
		return &DamageError{What: fmt.Sprintf("the root of %d blocks is %v, the head says %v", o.synced.blocks, tree.Root(), o.synced.root)}
	}
	return nil
}

func (o *offline) verifyBlock(n uint64, prev codec.Cursor, tree *codec.Tree, c *chain) (codec.Cursor, error) {
	where, err := o.span(n)
	if err != nil {
		return codec.Cursor{}, err
	}
	data, err := o.block(n)
	if err != nil {
		return where.last, err
	}
	es, err := decode(n, data)
	if err != nil {
		return where.last, err
	}
	first, last := es[0], es[len(es)-1].Cursor()
	number, begin, err := o.blockOf(last.Index)
	if err != nil {
		return where.last, err
	}
	if where != (span{first: first.Index, last: last, size: uint64(len(data))}) || number != n || begin != first.Index {
		return where.last, &DamageError{What: fmt.Sprintf("the place of block %d", n), Index: first.Index}
	}
	if prev.Index != 0 && (first.Index != prev.Index+1 || first.Term < prev.Term) {
		return where.last, &DamageError{What: fmt.Sprintf("block %d begins at %v after %v", n, first.Cursor(), prev), Index: first.Index}
	}
	if err := o.verifyNodes(n, first.Index, codec.Leaf(data), tree); err != nil {
		return last, err
	}
	if err := c.add(es); err != nil {
		return last, err
	}
	stored, err := o.configAt(n + 1)
	if err != nil {
		return last, err
	}
	return last, c.compare(fmt.Sprintf("the configuration after block %d", n), stored)
}

// verifyNodes appends a leaf to tree and holds the nodes that it completes
// against the stored ones.
func (o *offline) verifyNodes(n uint64, first codec.Index, leaf codec.Hash, tree *codec.Tree) error {
	var ids []codec.TreeNode
	var want []codec.Hash
	tree.Append(leaf, func(level uint, number uint64, node codec.Hash) {
		ids, want = append(ids, codec.TreeNode{Level: level, Number: number}), append(want, node)
	})
	got, err := o.nodes(ids)
	if err == nil && !slices.Equal(got, want) {
		err = &DamageError{What: fmt.Sprintf("the block tree at block %d", n), Index: first}
	}
	return err
}

// Dump writes entries [from, to] of the stopped ledger in dir to w, a line each:
// index, term, kind, where it is kept (a block's number or "tail"), length, and
// the first bytes of the data in hexadecimal. Indexes that are not there are left
// out; so are those in damaged blocks, of which the errors tell.
func Dump(disk vfs.FS, dir string, from, to codec.Index, w io.Writer) (err error) {
	o, err := openOffline(disk, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.abandon()) }()
	loadErr := o.load()
	if loadErr != nil && !isDamaged(loadErr) {
		return loadErr
	}
	out := bufio.NewWriter(w)
	from = max(from, 1)
	blocksErr := o.dumpBlocks(out, from, to)
	dumpEntries(out, o.raft.tail, max(from, o.synced.last.Index+1), to, "tail")
	return errors.Join(out.Flush(), loadErr, blocksErr)
}

func (o *offline) dumpBlocks(out io.Writer, from, to codec.Index) error {
	end := o.synced.last.Index
	if from > min(to, end) {
		return nil
	}
	number, _, err := o.blockOf(from)
	if err != nil {
		return err
	}
	var errs []error
	for ; number < o.synced.blocks; number++ {
		es, err := o.entriesOf(number)
		if err != nil && !isDamaged(err) {
			return err
		}
		if err != nil && !o.missing.holds(number) {
			errs = append(errs, err)
		}
		dumpEntries(out, es, from, to, fmt.Sprint(number))
		if len(es) > 0 && es[len(es)-1].Index >= to {
			break
		}
	}
	return errors.Join(errs...)
}

func (o *offline) entriesOf(number uint64) ([]codec.Entry, error) {
	data, err := o.block(number)
	if err != nil {
		return nil, err
	}
	return decode(number, data)
}

// dumpBytes is how much of an entry's data a line shows.
const dumpBytes = 32

func dumpEntries(w io.Writer, es []codec.Entry, from, to codec.Index, where string) {
	for _, e := range es {
		if e.Index < from || e.Index > to {
			continue
		}
		more := ""
		if len(e.Data) > dumpBytes {
			more = "…"
		}
		_, _ = fmt.Fprintf(w, "%d %d %v %s %d %s%s\n", e.Index, e.Term, e.Kind, where, len(e.Data), hex.EncodeToString(e.Data[:min(len(e.Data), dumpBytes)]), more)
	}
}
