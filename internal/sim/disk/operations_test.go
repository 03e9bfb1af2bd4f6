package disk_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/sim/disk"
)

// ops are what a random run does, and how often.
var ops = []struct {
	name   string
	weight int
	do     func(*world) error
}{
	{"begin", 2, (*world).begin},
	{"save", 6, (*world).save},
	{"seal", 3, (*world).seal},
	{"apply", 2, (*world).apply},
	{"horizon", 2, (*world).horizon},
	{"release", 3, (*world).release},
	{"release false blocks", 1, (*world).releaseFalse},
	{"drop", 1, (*world).drop},
	{"adopt", 2, (*world).adopt},
	{"what is refused", 2, (*world).refused},
	{"log id", 1, (*world).logID},
	{"removed", 1, (*world).removed},
	{"recover", 1, (*world).recover},
	{"fail", 1, (*world).fail},
	{"stop", 1, (*world).stop},
	{"crash", 2, (*world).crash},
}

func (w *world) begin() error {
	if w.oneIn(2, "empty") {
		return w.both("open empty", subject.OpenEmpty)
	}
	w.reach(1)
	return w.both("found", func(l subject) error { return l.Found(w.truth[0]) })
}

func (w *world) save() error { return w.saveSynced(w.oneIn(2, "sync")) }

// saveSynced appends entries of the truth, or others that are never decided, from
// any place above commit on; and moves the hard state.
func (w *world) saveSynced(sync bool) error {
	old := w.model.HardState()
	agreed := w.agreed()
	from := w.between("from", old.Commit, max(agreed, old.Commit))
	n := w.between("entries", 0, 6)
	var fresh []codec.Entry
	last := from
	if from == 0 || !w.oneIn(4, "others") {
		w.reach(from + n)
		fresh, last = w.truth[from:from+n], max(agreed, from+n)
	} else if before, err := w.model.Term(from); err == nil {
		for i := range n {
			fresh = append(fresh, entryOf(from+i+1, before|1, 90<<10))
		}
	}
	hard := old
	if n := len(fresh); n > 0 && fresh[n-1].Term > hard.Term {
		hard = codec.HardState{Term: fresh[n-1].Term, Vote: codec.RaftID(w.c.upTo("vote", 3)), Commit: old.Commit}
	} else if hard.Vote == 0 {
		hard.Vote = codec.RaftID(w.c.upTo("vote", 3))
	}
	if w.oneIn(2, "commits") {
		hard.Commit = w.between("commit", old.Commit, last)
	}
	return w.both("save", func(l subject) error { return l.Save(fresh, &hard, sync) })
}

func (w *world) seal() error {
	sealed := 0
	commit := w.model.HardState().Commit
	if w.oneIn(2, "ahead") { // of what was saved
		commit = max(commit, w.agreed())
	}
	return w.both("seal", func(l subject) error {
		n, err := l.Seal(commit)
		if l == subject(w.it) {
			sealed = n
		} else if n != sealed {
			return fmt.Errorf("%d blocks sealed, the machine %d: %w", n, sealed, err)
		}
		return err
	})
}

func (w *world) apply() error {
	applied, config := w.model.RaftApplied()
	to := w.between("applied", applied, w.model.HardState().Commit)
	entries, err := w.model.Entries(applied+1, to+1, 1<<40)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Kind == codec.KindConfig {
			config, _ = testFold(config, e)
		}
	}
	return w.both("apply", func(l subject) error { return l.SetRaftApplied(to, config) })
}

func (w *world) horizon() error {
	floor := w.between("floor", 0, w.model.LastIndex())
	return w.both("horizon", func(l subject) error { return l.MoveHorizon(floor) })
}

func (w *world) release() error {
	first := w.model.Head().Blocks
	n := 1 + uint64(w.c.upTo("blocks", 2))
	for uint64(len(w.blocks)) < first+n {
		w.reach(codec.Index(len(w.truth)) + 1)
	}
	return w.releaseBlocks(first, w.blocks[first:first+n])
}

// releaseFalse stores a block that nobody decided, as if it had been proved.
func (w *world) releaseFalse() error {
	if !w.oneIn(3, "really") {
		return nil
	}
	end := w.model.HeadCursor()
	e := entryOf(end.Index+1, max(end.Term|1, 3), 300<<10)
	return w.releaseBlocks(w.model.Head().Blocks, [][]codec.Entry{{e}})
}

func (w *world) releaseBlocks(first uint64, blocks [][]codec.Entry) error {
	var encoded [][]byte
	for _, b := range blocks {
		data, err := codec.AppendBlock(nil, b)
		if err != nil {
			return err
		}
		encoded = append(encoded, data)
	}
	return w.both("release", func(l subject) error {
		data := make([][]byte, len(encoded))
		for i := range data {
			data[i] = slices.Clone(encoded[i])
		}
		err := l.Release(first, data)
		for _, d := range data {
			clear(d) // the ledger does not keep it
		}
		return err
	})
}

func (w *world) drop() error {
	to := uint64(w.c.upTo("drop to", int(w.model.Head().Blocks)))
	return w.both("drop", func(l subject) error { return l.Drop(to) })
}

func (w *world) adopt() error {
	if w.oneIn(2, "head") {
		did := false
		return w.both("adopt head", func(l subject) error {
			ok, err := l.AdoptHead()
			if l == subject(w.it) {
				did = ok
			} else if ok != did {
				return fmt.Errorf("adopted %v, the machine %v", ok, did)
			}
			return err
		})
	}
	at := w.between("adopt at", 1, w.model.HeadCursor().Index)
	number, first, err := w.model.BlockOf(at)
	if err == nil {
		block := w.blockAt(number, first)
		at = block[len(block)-1].Index
	}
	term := codec.Term(2)
	if int(at) <= len(w.truth) {
		term = w.truth[at-1].Term
	}
	s := codec.Cursor{Index: at, Term: term}
	return errors.Join(
		w.both("check adoption", func(l subject) error { return l.CheckAdopt(s, nil) }),
		w.both("adopt", func(l subject) error { return l.Adopt(s, nil) }),
	)
}

// blockAt is the model's block, decoded.
func (w *world) blockAt(number uint64, first codec.Index) []codec.Entry {
	data, err := w.model.Block(number)
	if err != nil {
		return []codec.Entry{{Index: first}}
	}
	var b codec.Block
	if err := codec.DecodeBlock(data, &b); err != nil {
		return []codec.Entry{{Index: first}}
	}
	return slices.Clone(b.Entries())
}

func (w *world) logID() error {
	w.reach(1)
	id := codec.LogIDOf(w.truth[0].Data)
	if w.oneIn(8, "other") {
		id = codec.LogIDOf([]byte("another"))
	}
	return w.both("log id", func(l subject) error { return l.SetLogID(id) })
}

func (w *world) removed() error {
	at := w.between("removed", 0, w.model.LastIndex())
	if !w.oneIn(4, "really") {
		return nil
	}
	return w.both("removed", func(l subject) error { return l.SetRemoved(at) })
}

// recover makes all that Raft holds decided, and begins another log behind it.
func (w *world) recover() error {
	if !w.oneIn(3, "really") {
		return nil
	}
	end, err := w.model.End()
	term := max(end.Last.Term, end.Hard.Term) + codec.Term(w.c.upTo("term", 2))
	e := codec.Entry{
		Index: end.Last.Index + 1, Term: term + term%2, Kind: codec.KindConfig, Data: []byte(fmt.Sprint("recover ", end.Last.Index)),
	}
	did := w.both("recover", func(l subject) error { return l.Recover([]codec.Entry{e}) })
	if err != nil || did != nil || w.model.LogID() != codec.LogIDOf(e.Data) {
		return did
	}
	w.truth, err = w.model.Read(1, e.Index, 1<<40)
	w.blocks = cut(w.truth)
	return err
}

// refused asks for what no caller may ask for, or asks so by chance.
func (w *world) refused() error {
	m := w.model
	last, head, hard := m.LastIndex(), m.HeadCursor(), m.HardState()
	i := w.between("index", 0, last+3)
	e := entryOf(i, max(hard.Term, 1)+1-codec.Term(w.c.upTo("term", 2)), 20)
	cursor := codec.Cursor{Index: w.between("cursor", 0, head.Index+1), Term: max(head.Term, 2) - codec.Term(w.c.upTo("term", 1))}
	h := codec.HardState{Term: hard.Term, Vote: 9, Commit: w.between("commit", 0, last+1)}
	_, config := m.RaftApplied()
	calls := []func(l subject) error{
		func(l subject) error { return l.Save([]codec.Entry{e}, nil, false) },
		func(l subject) error { return l.Save(nil, &h, false) },
		func(l subject) error { return l.Save([]codec.Entry{{Index: last + 1, Term: hard.Term}, e}, nil, false) },
		func(l subject) error { return l.Found(e) },
		func(l subject) error { _, err := l.Seal(last + 1); return err },
		func(l subject) error { return l.SetRaftApplied(hard.Commit+1, config) },
		func(l subject) error {
			return l.SetRaftApplied(i, codec.Configuration{Members: make([]codec.Member, 1)})
		},
		func(l subject) error { return l.Release(m.Head().Blocks+1, [][]byte{{1}}) },
		func(l subject) error { return l.Release(m.Head().Blocks, [][]byte{{1}}) },
		func(l subject) error { return l.Drop(m.Head().Blocks + 1) },
		func(l subject) error { return l.CheckAdopt(cursor, nil) },
		func(l subject) error { return l.CheckAdopt(cursor, []codec.RaftID{1, 77}) },
		func(l subject) error { return l.Adopt(cursor, []codec.RaftID{77}) },
		func(l subject) error { return l.SetLogID(codec.LogID{}) },
	}
	n := w.c.upTo("call", len(calls)-1)
	return w.both(fmt.Sprint("refused call ", n), calls[n])
}

func failSyncs(w disk.Write) disk.Outcome {
	if w.Sync {
		return disk.Unsynced
	}
	return disk.OK
}

// fail lets a sync fail, looks at what can be read then, and restarts.
func (w *world) fail() error {
	w.it.failNext(true)
	w.disk.Fault = failSyncs
	err := w.saveSynced(true)
	w.it.failNext(false)
	w.disk.Fault = nil
	err = errors.Join(err, w.save(), w.seal(), w.release(), w.adopt())
	if err = errors.Join(err, w.same()); err != nil || w.model.Failed() == nil {
		return err
	}
	if w.oneIn(2, "crash") {
		return w.crash()
	}
	return errors.Join(w.both("close", subject.Close), w.restartOn(w.disk))
}

func (w *world) stop() error {
	restarts := w.restarts
	err := w.both("close", subject.Close)
	if err = errors.Join(err, w.same()); err != nil || w.restarts > restarts { // what is in memory can still be read
		return err
	}
	return w.restartOn(w.disk)
}
