package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
)

// state is what a ledger should hold, in the most obvious form. A state is never
// changed: an operation makes a new one.
type state struct {
	exists  bool
	log     []codec.Entry // Raft's entries from index 1 on, hidden ones too
	prev    codec.Cursor
	sealed  int // blocks that Raft sealed
	hard    codec.HardState
	applied codec.Index
	config  codec.Configuration
	synced  int // blocks of the truth
}

func (s state) last() codec.Index { return max(codec.Index(len(s.log)), s.prev.Index) }

// world is a ledger, its model, and the one true log of decided entries.
type world struct {
	t      *rapid.T
	fs     *vfs.MemFS
	l      *Ledger
	now    state
	since  []state // after each write since the last synced one, which stands first
	truth  []codec.Entry
	blocks [][]codec.Entry
}

func (w *world) reach(n int) {
	for len(w.truth) < n {
		i, term := codec.Index(len(w.truth)+1), codec.Term(2)
		if i == 1 {
			w.truth = append(w.truth, founding())
			continue
		}
		if i > 2 {
			term = max(term, w.truth[i-2].Term+2*codec.Term(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(w.t, "term")))
		}
		e := entry(i, term, rapid.SampledFrom([]int{20, 90 << 10, 300 << 10}).Draw(w.t, "size"))
		e.Kind = rapid.SampledFrom([]codec.Kind{codec.KindCommand, codec.KindCommand, codec.KindConfig}).Draw(w.t, "kind")
		w.truth = append(w.truth, e)
	}
	w.blocks = cut(w.truth)
}

// wrote notes a new state after one atomic write.
func (w *world) wrote(s state, synced bool) {
	w.now = s
	if synced {
		w.since = nil
	}
	w.since = append(w.since, s)
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatalf("%+v", err)
	}
}

// agreed is how many of Raft's entries are those of the truth.
func (w *world) agreed() int {
	w.reach(len(w.now.log))
	n := 0
	for n < len(w.now.log) && w.now.log[n].Cursor() == w.truth[n].Cursor() {
		n++
	}
	return n
}

func (w *world) end(blocks int) codec.Cursor {
	if blocks == 0 {
		return codec.Cursor{}
	}
	b := w.blocks[blocks-1]
	return b[len(b)-1].Cursor()
}

func (w *world) begin() {
	s := w.now
	if s.exists || s.synced > 0 {
		return
	}
	s.exists = true
	if rapid.Bool().Draw(w.t, "found") {
		w.reach(1)
		w.must(w.l.Found(w.truth[0]))
		s.log, s.hard = w.truth[:1:1], codec.HardState{Term: 1, Commit: 1}
	} else {
		w.must(w.l.OpenEmpty())
	}
	w.wrote(s, true)
}

// save appends entries of the truth, or others that are never decided, from any
// place above commit on; and moves the hard state.
func (w *world) save() {
	s := w.now
	if !s.exists {
		return
	}
	agreed := w.agreed()
	from := rapid.IntRange(int(s.hard.Commit), agreed).Draw(w.t, "from")
	n := rapid.IntRange(0, 6).Draw(w.t, "entries")
	var fresh []codec.Entry
	if rapid.IntRange(0, 3).Draw(w.t, "right") > 0 {
		w.reach(from + n)
		fresh = w.truth[from : from+n]
	} else if from > 0 {
		for i := range n {
			fresh = append(fresh, entry(codec.Index(from+i+1), w.truth[from-1].Term|1, 90<<10))
		}
	}
	if len(fresh) > 0 {
		s.log = append(slices.Clone(s.log[:from]), fresh...)
	}
	w.now.log = s.log
	commit := rapid.IntRange(int(s.hard.Commit), max(w.agreed(), int(s.hard.Commit))).Draw(w.t, "commit")
	s.hard = codec.HardState{Term: s.hard.Term, Vote: s.hard.Vote, Commit: codec.Index(commit)}
	if len(s.log) > 0 && s.log[len(s.log)-1].Term > s.hard.Term {
		s.hard.Term, s.hard.Vote = s.log[len(s.log)-1].Term, codec.RaftID(rapid.Uint64().Draw(w.t, "vote"))
	}
	sync := rapid.Bool().Draw(w.t, "sync")
	w.must(w.l.Save(fresh, &s.hard, sync))
	w.wrote(s, sync)
}

func (w *world) seal() {
	n, err := w.l.Seal(w.now.hard.Commit)
	if !w.now.exists {
		if !errors.Is(err, ErrNoRaftView) {
			w.t.Fatalf("seal without a raft view: %v", err)
		}
		return
	}
	w.must(err)
	for ; w.now.sealed < len(w.blocks) && w.end(w.now.sealed+1).Index <= w.now.hard.Commit; n-- {
		s := w.now
		s.sealed++
		s.synced = max(s.synced, s.sealed)
		w.wrote(s, false)
	}
	if n != 0 {
		w.t.Fatalf("%d blocks too many sealed", n)
	}
}

func (w *world) apply() {
	s := w.now
	if !s.exists {
		return
	}
	s.applied = codec.Index(rapid.IntRange(int(s.applied), int(s.hard.Commit)).Draw(w.t, "applied"))
	s.config = foldAll(w.truth[:s.applied])
	w.must(w.l.SetRaftApplied(s.applied, s.config))
	w.wrote(s, false)
}

func (w *world) horizon() {
	s := w.now
	floor := codec.Index(rapid.IntRange(0, int(s.last())).Draw(w.t, "floor"))
	w.must(w.l.MoveHorizon(floor))
	for n := s.sealed - 2; s.exists && n > 0; n-- {
		end := w.end(n)
		if end.Index > s.prev.Index && end.Index <= s.applied && (floor == 0 || end.Index < floor) {
			s.prev = end
			w.wrote(s, false)
			return
		}
	}
}

func (w *world) release() {
	s := w.now
	n := rapid.IntRange(1, 3).Draw(w.t, "blocks")
	for len(w.blocks) < s.synced+n {
		w.reach(len(w.truth) + 1)
	}
	data, err := codec.AppendBlock(nil, w.blocks[s.synced])
	w.must(err)
	out := [][]byte{data}
	for _, b := range w.blocks[s.synced+1 : s.synced+n] {
		data, err := codec.AppendBlock(nil, b)
		w.must(err)
		out = append(out, data)
	}
	w.must(w.l.Release(uint64(s.synced), out))
	s.synced += n
	w.wrote(s, true)
}

func (w *world) drop() {
	s := w.now
	s.synced = rapid.IntRange(s.sealed, s.synced).Draw(w.t, "drop to")
	w.must(w.l.Drop(uint64(s.synced)))
	if s.synced != w.now.synced {
		w.wrote(s, true)
	}
}

func (w *world) adopt() {
	s := w.now
	if s.synced == 0 {
		return
	}
	n := s.synced
	if rapid.Bool().Draw(w.t, "head") {
		ok, err := w.l.AdoptHead()
		w.must(err)
		if want := !s.exists || w.end(n).Index > s.hard.Commit; ok != want {
			w.t.Fatalf("AdoptHead is %v, want %v", ok, want)
		}
	} else {
		n = rapid.IntRange(1, s.synced).Draw(w.t, "adopt at")
		w.must(w.l.Adopt(w.end(n), idsOf(foldAll(w.truth[:w.end(n).Index]))))
	}
	at := w.end(n)
	if s.exists && at.Index <= s.hard.Commit {
		return
	}
	w.wrote(s.adopted(w.truth, at, n), true)
}

// adopted is s after an adoption at the end of n blocks of the truth.
func (s state) adopted(truth []codec.Entry, at codec.Cursor, n int) state {
	rest := []codec.Entry(nil)
	if int(at.Index) <= len(s.log) && s.log[at.Index-1].Term == at.Term {
		rest = s.log[at.Index:]
	}
	s.log = append(slices.Clone(truth[:at.Index]), rest...)
	s.exists, s.prev, s.sealed, s.applied, s.config = true, at, n, at.Index, foldAll(truth[:at.Index])
	if at.Term > s.hard.Term {
		s.hard.Term, s.hard.Vote = at.Term, 0
	}
	s.hard.Commit = at.Index
	return s
}

// recover makes all that Raft holds decided, and goes on behind it.
func (w *world) recover() {
	s := w.now
	if !s.exists || s.last() == 0 && s.synced == 0 {
		return
	}
	if at := w.end(s.synced); at.Index > s.hard.Commit {
		s = s.adopted(w.truth, at, s.synced)
	}
	last := s.log[len(s.log)-1]
	term := max(last.Term, s.hard.Term) + 1
	term += term % 2 // terms of the truth are even
	e := conf(last.Index+1, term, fmt.Sprint("recover ", last.Index))
	w.must(w.l.Recover([]codec.Entry{e}))
	s.log = append(slices.Clone(s.log), e)
	w.truth = slices.Clone(s.log)
	w.blocks = cut(w.truth)
	s.hard = codec.HardState{Term: term, Vote: own, Commit: e.Index}
	s.applied, s.config = e.Index, foldAll(w.truth)
	if w.l.LogID() != s.config.Log {
		w.t.Fatalf("log %v, not %v", w.l.LogID(), s.config.Log)
	}
	w.wrote(s, true)
}

func (w *world) stop() {
	w.must(w.l.Close())
	w.open()
	w.wrote(w.now, true)
}

// crash goes on with what a crash leaves: the state after the last synced write,
// or after any later one.
func (w *world) crash() {
	cfg := vfs.CrashCloneCfg{
		UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(w.t, "unsynced"),
		RNG:                 rand.New(rand.NewPCG(rapid.Uint64().Draw(w.t, "seed"), 0)),
	}
	old := w.l
	w.fs = w.fs.CrashClone(cfg)
	w.must(old.Close())
	w.open()
	var diffs []error
	for _, s := range slices.Backward(w.since) {
		err := w.compare(s)
		if err == nil {
			w.wrote(s, true)
			return
		}
		diffs = append(diffs, err)
	}
	w.t.Fatalf("after the crash nothing fits:\n%v", errors.Join(diffs...))
}

func (w *world) open() {
	l, err := Open(testOptions(w.fs))
	w.must(err)
	w.l = l
}

func (w *world) compare(s state) error {
	l := w.l
	applied, config := l.RaftApplied()
	sealed, sealedConfig := l.Sealed()
	got := []any{sealed, sealedConfig, l.HasRaftView(), l.FirstIndex(), l.LastIndex(), l.HardState(), applied, config, l.Head().Blocks, l.HeadCursor(), l.HeadConfig()}
	end := w.end(s.synced)
	sealedEnd := w.end(s.sealed)
	want := []any{sealedEnd, foldAll(w.truth[:sealedEnd.Index]), s.exists, s.prev.Index + 1, s.last(), s.hard, s.applied, s.config, uint64(s.synced), end, foldAll(w.truth[:end.Index])}
	if got, want := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); got != want { // nil is empty
		return fmt.Errorf("it holds\n%s, not\n%s", got, want)
	}
	for i := s.prev.Index; i <= s.last(); i++ {
		want := codec.Term(0)
		if i > 0 {
			want = s.log[i-1].Term
		}
		if term, err := l.Term(i); err != nil || term != want {
			return fmt.Errorf("term at %d is %d, %v, not %d", i, term, err, want)
		}
	}
	return errors.Join(w.compareEntries(s), w.compareBlocks(s))
}

func (w *world) compareEntries(s state) error {
	lo := s.prev.Index + codec.Index(rapid.IntRange(1, int(s.last()-s.prev.Index)+1).Draw(w.t, "lo"))
	hi := lo + codec.Index(rapid.IntRange(0, int(s.last()-lo)+1).Draw(w.t, "n"))
	limit := rapid.SampledFrom([]uint64{0, 200 << 10, 1 << 30}).Draw(w.t, "limit")
	got, err := w.l.Entries(lo, hi, limit)
	if err != nil || hi > lo && !sameEntries(got, fitting(s.log[lo-1:hi-1], limit)) {
		return fmt.Errorf("entries [%d, %d): %v, %d", lo, hi, err, len(got))
	}
	decided := max(s.hard.Commit, w.end(s.synced).Index)
	if decided == 0 {
		return nil
	}
	from := codec.Index(rapid.IntRange(1, int(decided)).Draw(w.t, "read from"))
	got, err = w.l.Read(from, decided, int(limit))
	if err != nil || !sameEntries(got, fitting(w.truth[from-1:decided], limit)) {
		return fmt.Errorf("read [%d, %d]: %v, %d", from, decided, err, len(got))
	}
	return nil
}

func fitting(entries []codec.Entry, limit uint64) []codec.Entry {
	n, bytes := 0, uint64(0)
	for n < len(entries) {
		bytes += uint64(len(entries[n].Data))
		if bytes > limit && n > 0 {
			break
		}
		n++
	}
	return entries[:n]
}

func (w *world) compareBlocks(s state) error {
	var leaves []codec.Hash
	tree := codec.NewTree()
	for n, entries := range w.blocks[:s.synced] {
		want, err := codec.AppendBlock(nil, entries)
		w.must(err)
		got, err := w.l.Block(uint64(n))
		if err != nil || string(got) != string(want) {
			return fmt.Errorf("block %d: %v, %d bytes", n, err, len(got))
		}
		number, first, err := w.l.BlockOf(entries[len(entries)/2].Index)
		if err != nil || number != uint64(n) || first != entries[0].Index {
			return fmt.Errorf("block %d is found as %d from index %d: %v", n, number, first, err)
		}
		tree.Append(codec.Leaf(want), nil)
		leaves = append(leaves, codec.Leaf(want))
		if root, err := w.l.RootAt(uint64(n + 1)); err != nil || root != tree.Root() {
			return fmt.Errorf("root at %d: %v, %v", n+1, root, err)
		}
	}
	got, err := w.l.Leaves(0, uint64(s.synced))
	if err != nil || !slices.Equal(got, leaves) || w.l.Head().Root != tree.Root() {
		return fmt.Errorf("leaves: %v, root %v", err, w.l.Head().Root)
	}
	return nil
}

// Any operations, clean stops and crashes in any order: the ledger always holds
// what the obvious model holds, and after a crash the state after the last synced
// write or after one of the writes that followed (FAULTS S1, P3).
func TestLedgerIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, fs: vfs.NewCrashableMem()}
		w.open()
		w.wrote(state{}, true)
		defer func() { _ = w.l.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if err := w.compare(w.now); err != nil {
					t.Fatal(err)
				}
			},
			"begin":   func(t *rapid.T) { w.begin() },
			"save":    func(t *rapid.T) { w.save() },
			"save2":   func(t *rapid.T) { w.save() },
			"seal":    func(t *rapid.T) { w.seal() },
			"apply":   func(t *rapid.T) { w.apply() },
			"horizon": func(t *rapid.T) { w.horizon() },
			"release": func(t *rapid.T) { w.release() },
			"drop":    func(t *rapid.T) { w.drop() },
			"adopt":   func(t *rapid.T) { w.adopt() },
			"stop":    func(t *rapid.T) { w.stop() },
			"crash":   func(t *rapid.T) { w.crash() },
			"recover": func(t *rapid.T) { w.recover() },
		})
	})
}
