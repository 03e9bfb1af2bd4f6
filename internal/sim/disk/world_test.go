package disk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/sim/disk"
)

// chooser makes the choices of a random run.
type chooser interface {
	upTo(what string, n int) int // in [0, n]
}

// machine is a subject that can crash, with the disk that it is on.
type machine interface {
	subject
	// restart opens the disk again, after a crash or a Close.
	restart() error
	// crash ends the process and forgets some of what was not synced.
	crash(c chooser)
	// failNext makes the next synced write fail, until it is called with false.
	failNext(on bool)
	// broke reports whether a change of its disk failed; heal lets no more fail.
	broke() bool
	heal()
}

// world does the same with a machine and with a plain model.
type world struct {
	c     chooser
	it    machine
	disk  *disk.Disk
	model *disk.Ledger
	opts  ledger.Options

	restarts int // after failures

	// after, if not nil, is called after every call and every restart of the
	// machine. During it, what a crash left is one of the states on disks.
	after func(disks ...*disk.Disk) error

	truth  []codec.Entry // the decided log, of even terms
	blocks [][]codec.Entry
}

func newWorld(c chooser, it machine, opts ledger.Options) (*world, error) {
	w := &world{c: c, it: it, opts: opts}
	return w, w.restartOn(disk.New())
}

func (w *world) between(what string, lo, hi codec.Index) codec.Index {
	if hi < lo {
		return lo
	}
	return lo + codec.Index(w.c.upTo(what, int(hi-lo)))
}

func (w *world) oneIn(n int, what string) bool { return w.c.upTo(what, n-1) == n-1 }

// both does one operation on the machine and on the model.
func (w *world) both(what string, do func(subject) error) error {
	before := w.disk.Clone()
	got := do(w.it)
	if w.it.broke() {
		return w.broken(what, before, got, do)
	}
	want := do(w.model)
	if !sameError(got, want) {
		return fmt.Errorf("%s: %v, but the model: %v", what, got, want)
	}
	if w.after == nil {
		return nil
	}
	return w.after(before, w.disk)
}

// same compares the machine with the model.
func (w *world) same() error {
	err := same(w.it, w.model)
	if err == nil || !w.it.broke() {
		return err
	}
	return errors.Join(w.settle(w.disk), same(w.it, w.model))
}

// run does steps operations.
func (w *world) run(steps int) error {
	if w.oneIn(2, "begin first") {
		if err := w.step("begin", (*world).begin); err != nil {
			return err
		}
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	for range steps {
		n := w.c.upTo("operation", total-1)
		for _, op := range ops {
			if n -= op.weight; n >= 0 {
				continue
			}
			if err := w.step(op.name, op.do); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// step does one operation and compares all that can be seen then. Any operation
// can be the last before a crash.
func (w *world) step(name string, do func(*world) error) error {
	err := errors.Join(do(w), w.same())
	if err == nil && w.oneIn(8, "crash now") {
		err = w.crash()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// reach makes the truth n entries long.
func (w *world) reach(n codec.Index) {
	for i := codec.Index(len(w.truth) + 1); i <= n; i++ {
		term := codec.Term(2)
		if i > 1 {
			term = w.truth[i-2].Term + 2*codec.Term(max(0, w.c.upTo("term", 4)-3))
		}
		size := []int{20, 90 << 10, 300 << 10}[w.c.upTo("size", 2)]
		e := entryOf(i, term, size)
		switch kind := w.c.upTo("kind", 4); {
		case i == 1 || kind == 4:
			e.Kind = codec.KindConfig
		case kind == 3:
			e.Kind, e.Data = codec.KindNoop, nil
		}
		w.truth = append(w.truth, e)
	}
	w.blocks = cut(w.truth)
}

// entryOf has data that no entry of another index or term has.
func entryOf(i codec.Index, term codec.Term, size int) codec.Entry {
	data := make([]byte, max(size, 16))
	binary.BigEndian.PutUint64(data, uint64(i))
	binary.BigEndian.PutUint64(data[8:], uint64(term))
	return codec.Entry{Index: i, Term: term, Kind: codec.KindCommand, Data: data}
}

// cut splits a log that begins at index 1 into its whole blocks.
func cut(log []codec.Entry) (blocks [][]codec.Entry) {
	var fill codec.BlockFill
	begin := 0
	for i := range log {
		if fill.Add(len(log[i].Data)) {
			blocks = append(blocks, log[begin:i+1])
			begin = i + 1
		}
	}
	return blocks
}

// own is the raft id of the node under test.
var own = codec.RaftIDOf(testPeer, [16]byte{1})

// testFold makes a configuration entry replace or add one of five members, the node
// itself among them; or begin another log with it alone.
func testFold(c codec.Configuration, e codec.Entry) (codec.Configuration, error) {
	if bytes.HasPrefix(e.Data, []byte("recover")) {
		c.Index, c.Members = e.Index, []codec.Member{{RaftID: own, Peer: testPeer, Role: codec.RoleVoter}}
		return c.Began(e), nil
	}
	if e.Index == 1 {
		c = c.Began(e)
	}
	id := codec.RaftID(e.Index%5 + 1)
	if id == 3 {
		id = own
	}
	c = c.With(codec.Member{RaftID: id, Peer: codec.PeerID(fmt.Sprint("p", e.Cursor())), Role: codec.RoleVoter})
	c.Index = e.Index
	return c, nil
}

// agreed is how many of Raft's entries are those of the truth.
func (w *world) agreed() codec.Index {
	last := w.model.LastIndex()
	w.reach(last)
	n := w.model.FirstIndex() - 1
	for n < last {
		if term, err := w.model.Term(n + 1); err != nil || term != w.truth[n].Term {
			break
		}
		n++
	}
	return n
}

func (w *world) crash() error {
	w.it.crash(w.c)
	return w.restartOn(w.disk)
}

// restartOn restarts the machine, and goes on with the state on one of disks that
// it then holds: the newest that fits.
func (w *world) restartOn(disks ...*disk.Disk) error {
	err := w.it.restart()
	if w.it.broke() {
		return w.goOn(err, disks...)
	}
	if err != nil {
		return err
	}
	d, m, err := w.fits(disks...)
	if err == nil {
		err = same(w.it, m)
	}
	if err != nil {
		return fmt.Errorf("after the restart: %w", err)
	}
	w.disk, w.model = d, m
	if w.after != nil {
		return w.after(append(slices.Clone(disks), d)...)
	}
	return nil
}

// fits is the newest state on disks that the machine holds, on a disk of its own.
func (w *world) fits(disks ...*disk.Disk) (*disk.Disk, *disk.Ledger, error) {
	var diffs []error
	for _, on := range slices.Backward(disks) {
		for keep := on.Unsynced(); keep >= 0; keep-- {
			d := on.Clone()
			d.Crash(func(int) int { return keep })
			m, err := disk.Open(d, w.opts)
			if err == nil {
				err = sameContents(w.it, m)
			}
			if err == nil {
				return d, m, nil
			}
			diffs = append(diffs, err)
		}
	}
	return nil, nil, fmt.Errorf("no state fits:\n%w", errors.Join(diffs...))
}
