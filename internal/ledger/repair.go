package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/logmesh/logmesh/codec"
)

// Repaired is what Repair did.
type Repaired struct {
	Blocks  uint64      // that the ledger has
	Missing uint64      // of them, that were lost; Fill brings them back
	First   codec.Index // the index where the first missing block begins; 0: none is missing, or not known
}

// Repair makes a new database of what can be read of the damaged one in
// opts.Dir, which nobody has open, and puts it in the damaged one's place. Every
// record is checked as Open does. A crash leaves the old database or the new one.
// It needs free space for a second database.
//
// Blocks that cannot be read are left out: others have them, and our own tree
// proves them. Their tree, places and configurations follow from the blocks, and
// are made anew. What only this node knows must be whole: whose ledger this is,
// the hard state, the bounds of the raft view with raft-applied, the tail, and
// the head. If it is not, or cannot be shown to be, the directory stays as it is
// and the error is a *DamageError with Lost set: a node that does not know what
// it promised must not vote. Other errors are those of Open.
func Repair(opts Options) (Repaired, error) {
	if err := opts.complete(); err != nil {
		return Repaired{}, err
	}
	s, err := lockStore(opts.FS, opts.Dir, opts.Logger, false)
	if err != nil {
		return Repaired{}, err
	}
	out, err := s.repair(opts)
	var d *DamageError
	if errors.As(err, &d) {
		d.Lost = opts.Dir
	}
	return out, errors.Join(err, s.unlock())
}

func (s *store) repair(opts Options) (out Repaired, err error) {
	if _, lost, err := s.flag(lostFlag); err != nil || lost {
		return out, errors.Join(err, s.checkFlags())
	}
	r, err := s.openRescue()
	if err != nil {
		return out, err
	}
	g, err := r.run(opts)
	err = errors.Join(err, r.close())
	if err != nil {
		return out, errors.Join(err, s.fs.RemoveAll(s.in(freshDir)))
	}
	if err := errors.Join(s.swap(), s.w.failure()); err != nil {
		return out, err
	}
	out = Repaired{Blocks: r.head.Blocks, Missing: g.missing.blocks()}
	if out.Missing > 0 {
		out.First = g.whole + 1
	}
	return out, s.lowerFlag()
}

// rescue copies what is whole from a damaged database into a new one.
type rescue struct {
	from, to *store
	batch    *pebble.Batch
	raftID   codec.RaftID
	view     raftView
	last     codec.Cursor // of the head
	head     codec.Head
	stopped  marker
	clean    bool // stopped is there, and whole
}

// openRescue opens the damaged database for reading, and a new one.
func (s *store) openRescue() (*rescue, error) {
	r := &rescue{}
	var err error
	if r.stopped, r.clean, err = readMarker(s.fs, s.root); err != nil && !isDamaged(err) {
		return nil, err
	}
	from := *s
	from.log = slog.New(slog.DiscardHandler) // that it is damaged is known
	o := from.options(true)
	o.FS = hidingFS{s.fs, r.clean}
	o.DisableConsistencyCheck = true // a table that is short fails where it is short
	if err := from.checkSynced(); err != nil {
		return nil, err
	}
	if err := from.openWith(o); err != nil {
		return nil, err
	}
	to := *s
	to.at(freshDir)
	if err := to.openDB(false); err != nil {
		return nil, errors.Join(err, from.db.Close())
	}
	r.from, r.to = &from, &to
	if err := r.to.reopen(); err != nil {
		return nil, errors.Join(err, from.db.Close())
	}
	r.batch = r.to.db.NewBatch()
	return r, nil
}

func isDamaged(err error) bool {
	var d *DamageError
	return errors.As(err, &d)
}

// hidingFS hides from Pebble what it need not read: the options that it once
// ran with, and after a clean stop, which flushed everything, its logs.
type hidingFS struct {
	vfs.FS
	logs bool
}

func (h hidingFS) List(dir string) ([]string, error) {
	names, err := h.FS.List(dir)
	shown := names[:0:0]
	for _, name := range names {
		if !strings.HasPrefix(name, "OPTIONS-") && !(h.logs && strings.HasSuffix(name, ".log")) {
			shown = append(shown, name)
		}
	}
	return shown, err
}

func (h hidingFS) Unwrap() vfs.FS { return h.FS }

// close closes both databases; the new one is flushed.
func (r *rescue) close() error {
	err := errors.Join(r.batch.Close(), r.to.db.Flush(), r.to.db.Close(), r.to.synced.close())
	if err != nil {
		r.to.w.note(r.to.dir, err)
	}
	return errors.Join(r.from.db.Close(), r.to.w.failure())
}

// run copies everything. The gaps that it returns are also in the new database.
func (r *rescue) run(opts Options) (g gaps, err error) {
	for _, step := range []func() error{
		func() error { return r.identity(opts) }, r.heads, r.raft, r.witness,
	} {
		if err := step(); err != nil {
			return g, err
		}
	}
	if g, err = r.blocks(); err != nil {
		return g, err
	}
	if err := r.logID(); err != nil {
		return g, err
	}
	if err := set(r.batch, single(prefixGaps), gapsBody(g)); err != nil {
		return g, err
	}
	err = r.commit()
	g.whole = r.to.wholeTo(g)
	return g, err
}

// commit writes the batch, durably, and begins another.
func (r *rescue) commit() error {
	b := r.batch
	r.batch = r.to.db.NewBatch()
	return r.to.commit(b, true)
}

// keep copies a record that must be readable; found is false if there was none.
// Whatever keeps it from being read, also an error of the disk, is damage here.
func (r *rescue) keep(key []byte, what string) (body []byte, found bool, err error) {
	value, found, err := r.from.get(key)
	if err == nil && found {
		body, err = bodyOf(key, value)
	}
	if err != nil {
		return nil, false, &DamageError{What: what, Cause: err}
	}
	if !found {
		return nil, false, nil
	}
	return body, true, r.batch.Set(key, value, nil)
}

func (r *rescue) identity(opts Options) error {
	if fresh, err := r.from.checkFormat(); err != nil || fresh {
		return errors.Join(err, missing(fresh, "the format version"))
	}
	if _, _, err := r.keep(single(prefixFormat), "the format version"); err != nil {
		return err
	}
	body, found, err := r.keep(single(prefixOwner), "its owner")
	if err != nil || !found {
		return errors.Join(err, missing(err == nil, "its owner"))
	}
	o, err := readOwner(append([]byte(nil), body...))
	if err != nil {
		return damage("its owner", 0, err)
	}
	r.raftID = codec.RaftIDOf(o.peer, o.salt)
	if _, _, err := r.keep(single(prefixRemoved), "the removal of this node"); err != nil {
		return err
	}
	return o.check(opts)
}

// missing is the *DamageError for a record that is not there.
func missing(is bool, what string) error {
	if !is {
		return nil
	}
	return &DamageError{What: what, Cause: errGone}
}

func (r *rescue) heads() error {
	const what = "the head of the blocks"
	body, found, err := r.keep(single(prefixHead), what)
	if err != nil || !found {
		return err
	}
	if r.last, r.head, err = readHead(body); err != nil {
		return damage(what, 0, err)
	}
	return nil
}

// raft copies the raft view. Its tail ends at the first index of which it is
// certain that no entry is there, because a tail has no holes.
func (r *rescue) raft() error {
	const what = "the bounds of the raft view"
	body, found, err := r.keep(single(prefixView), what)
	if err != nil || !found {
		return err
	}
	v := &r.view
	if v.bounds, err = readBounds(body); err != nil {
		return damage(what, 0, err)
	}
	v.exists = true
	if v.hard, err = r.from.hardState(); err != nil {
		return asDamage(err)
	}
	if v.applied, v.config, err = r.from.applied(); err != nil {
		return asDamage(err)
	}
	if err := putView(r.batch, v); err != nil {
		return err
	}
	if v.blocks > r.head.Blocks || v.blocks == r.head.Blocks && v.sealed != r.last {
		return &DamageError{What: fmt.Sprintf("Raft sealed %d blocks to %v, but the head says %d to %v", v.blocks, v.sealed, r.head.Blocks, r.last), Index: min(v.sealed.Index, r.last.Index) + 1}
	}
	v.terms = termRuns{v.sealed}
	for {
		more, err := r.tailEntry()
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	// What lies between the horizon and the sealed end is in blocks.
	return v.check()
}

// asDamage is a failed read as damage, whatever made it fail.
func asDamage(err error) error {
	if isDamaged(err) {
		return err
	}
	return &DamageError{What: "a record", Cause: err}
}

// tailEntry copies the next entry of the tail; more is false behind the last.
func (r *rescue) tailEntry() (more bool, err error) {
	v := &r.view
	next := v.last() + 1
	key := numbered(prefixEntry, next)
	value, found, err := r.from.get(key)
	if err == nil && !found {
		return false, nil
	}
	var e codec.Entry
	if err == nil {
		var body []byte
		if body, err = bodyOf(key, value); err == nil {
			e, err = readEntry(next, body)
		}
	}
	if err == nil && e.Term < v.terms[len(v.terms)-1].Term {
		err = errors.New("its term falls")
	}
	if err != nil {
		return false, &DamageError{What: "an entry of the tail", Index: next, Cause: err}
	}
	v.tail = append(v.tail, e)
	v.terms.add(e.Cursor())
	if r.batch.Len() > rebuildBatch {
		if err := r.commit(); err != nil {
			return false, err
		}
	}
	return true, r.batch.Set(key, value, nil)
}

// witness holds what was read against the marker of a clean stop.
func (r *rescue) witness() error {
	if !r.clean {
		return nil
	}
	found := (&Ledger{raft: r.view, synced: syncedView{blocks: r.head.Blocks, last: r.last, root: r.head.Root}}).stopped()
	if r.head.Blocks == 0 {
		found.head = codec.Head{Root: codec.EmptyRoot()}
	}
	return r.stopped.check(found)
}

// logID copies the log id, or takes that of the configuration in which this node
// is a member.
func (r *rescue) logID() error {
	_, _, err := r.keep(single(prefixLog), "the log id")
	if err != nil && names(r.view.config, r.raftID) {
		return setLogID(r.batch, r.view.config.Log)
	}
	return err
}
