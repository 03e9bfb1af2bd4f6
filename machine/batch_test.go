package machine

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/logmesh/logmesh/codec"
)

// fold is a raw machine: the state is the digest of all commands so far.
type fold struct{ sum MultisetHash }

func (f *fold) Signature() string    { return "fold/1" }
func (f *fold) Digest() codec.Digest { return f.sum.Sum() }

func (f *fold) Apply(b *Batch) {
	for _, c := range b.Commands() {
		if len(c) == 0 {
			b.Reject("empty")
			continue
		}
		f.sum.Add(c)
		b.Result(c[:1])
	}
}

func (f *fold) Query(dst, _ []byte) ([]byte, error) { return dst, nil }

func TestBatchAppliesInOrder(t *testing.T) {
	var b Batch
	b.Add(7, []byte("one"))
	b.Add(9, nil)
	b.Add(10, []byte("three"))
	if b.Len() != 3 || b.Current() != 7 {
		t.Fatalf("%d commands, the first at %d", b.Len(), b.Current())
	}
	var indexes []codec.Index
	for i, c := range b.Commands() {
		indexes = append(indexes, b.Index())
		if i == 1 {
			b.Reject("empty")
			continue
		}
		b.Result(c)
	}
	if len(indexes) != 3 || indexes[0] != 7 || indexes[1] != 9 || indexes[2] != 10 {
		t.Errorf("indexes %v", indexes)
	}
	want := []Outcome{{Data: []byte("one")}, {Data: []byte("empty"), Rejected: true}, {Data: []byte("three")}}
	for i, w := range want {
		if o := b.Outcome(i); o.Rejected != w.Rejected || !bytes.Equal(o.Data, w.Data) {
			t.Errorf("outcome %d: %q, %v", i, o.Data, o.Rejected)
		}
	}
	if b.Current() != 10 {
		t.Errorf("after the last command, the current one is at %d", b.Current())
	}
	if b.Reset(); b.Len() != 0 || b.Current() != 0 {
		t.Errorf("after Reset: %d commands, the current one at %d", b.Len(), b.Current())
	}
}

func TestLastOutcomeCounts(t *testing.T) {
	var b Batch
	for i := range 3 {
		b.Add(codec.Index(i+1), nil)
	}
	for i := range b.Commands() {
		b.Result([]byte("first try"))
		b.Reject("second try")
		if i != 1 {
			b.Result([]byte{byte('0' + i)})
		}
	}
	if a, m, z := b.Outcome(0), b.Outcome(1), b.Outcome(2); string(a.Data) != "0" || a.Rejected ||
		string(m.Data) != "second try" || !m.Rejected || string(z.Data) != "2" || z.Rejected {
		t.Errorf("%q %q %q", a.Data, m.Data, z.Data)
	}
	if len(b.arena) != len("0second try2") {
		t.Errorf("outcomes that do not count take memory: %q", b.arena)
	}
	for i := range b.Commands() { // a machine may range twice
		if i == 0 {
			b.Result([]byte("later and longer"))
		}
	}
	if a, z := b.Outcome(0), b.Outcome(2); string(a.Data) != "later and longer" || string(z.Data) != "2" {
		t.Errorf("%q %q", a.Data, z.Data)
	}
}

func TestCommandWithoutOutcomeHasAnEmptyResult(t *testing.T) {
	var b Batch
	b.Add(1, []byte("x"))
	b.Add(2, []byte("y"))
	for i := range b.Commands() {
		if i == 0 {
			b.Result([]byte("data"))
		}
	}
	if o := b.Outcome(1); len(o.Data) != 0 || o.Rejected {
		t.Errorf("%q, %v", o.Data, o.Rejected)
	}
}

func TestResultLimit(t *testing.T) {
	var b Batch
	b.Add(1, nil)
	b.Add(2, nil)
	sizes := []int{MaxResult, MaxResult + 1}
	for i := range b.Commands() {
		b.Result(make([]byte, sizes[i]))
	}
	if o := b.Outcome(0); o.Rejected || len(o.Data) != MaxResult {
		t.Errorf("a result of the greatest size: %d bytes, rejected %v", len(o.Data), o.Rejected)
	}
	const reason = "result of 1048577 bytes, at most 1048576 are allowed"
	if o := b.Outcome(1); !o.Rejected || string(o.Data) != reason {
		t.Errorf("a result that is too large: %q, rejected %v", o.Data[:min(80, len(o.Data))], o.Rejected)
	}
}

func TestReasonIsCutAtACharacter(t *testing.T) {
	var b Batch
	for range b.Len() + 3 {
		b.Add(1, nil)
	}
	reasons := []string{strings.Repeat("é", MaxReason), "bad \xff byte", strings.Repeat("a", MaxReason-1) + "é"}
	for i := range b.Commands() {
		b.Reject(reasons[i])
	}
	for i := range reasons {
		if o := b.Outcome(i); len(o.Data) > MaxReason || !utf8.Valid(o.Data) || !o.Rejected {
			t.Errorf("reason %d: %d bytes, %q", i, len(o.Data), o.Data)
		}
	}
	if o := b.Outcome(0); len(o.Data) != MaxReason {
		t.Errorf("cut to %d bytes", len(o.Data))
	}
	if o := b.Outcome(2); string(o.Data) != strings.Repeat("a", MaxReason-1) {
		t.Errorf("half a character is left: %q", o.Data)
	}
}

func TestResultOutsideOfCommandsPanics(t *testing.T) {
	var b Batch
	b.Add(1, nil)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	b.Result(nil)
}

func TestBatchDoesNotAllocate(t *testing.T) {
	commands := make([][]byte, 128)
	for i := range commands {
		commands[i] = []byte{byte(i), 2, 3}
	}
	commands[5] = nil
	var b Batch
	var m Machine = new(fold)
	once := func() {
		b.Reset()
		for i, c := range commands {
			b.Add(codec.Index(i+1), c)
		}
		m.Apply(&b)
	}
	once()
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations per batch of %d", n, len(commands))
	}
}

func TestResetLetsGoOfMuchMemory(t *testing.T) {
	var b Batch
	for range 3 {
		b.Add(1, nil)
	}
	for range b.Commands() {
		b.Result(make([]byte, MaxResult))
	}
	if b.Reset(); cap(b.arena) > arenaKept {
		t.Errorf("an empty batch holds %d bytes", cap(b.arena))
	}
}

func BenchmarkBatch(b *testing.B) {
	command := make([]byte, 64)
	var batch Batch
	m := new(fold)
	for b.Loop() {
		batch.Reset()
		for i := range 128 {
			batch.Add(codec.Index(i+1), command)
		}
		m.Apply(&batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(128*b.N), "ns/entry")
}
