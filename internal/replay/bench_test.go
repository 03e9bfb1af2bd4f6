package replay

import (
	"fmt"
	"testing"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/kv"
)

// fold is a machine that costs next to nothing.
type fold struct{ state codec.Digest }

func (*fold) Signature() string                     { return "fold/1" }
func (m *fold) Digest() codec.Digest                { return m.state }
func (m *fold) Query(dst, _ []byte) ([]byte, error) { return append(dst, m.state[:]...), nil }

func (m *fold) Apply(b *machine.Batch) {
	for _, c := range b.Commands() {
		for i, x := range c {
			m.state[i%len(m.state)] = m.state[i%len(m.state)]*31 + x
		}
		b.Result(m.state[:8])
	}
}

// benchmark applies blocks of 128 commands of one session that has at most
// inFlight commands unanswered.
func benchmark(b *testing.B, m machine.Machine, inFlight uint64, payloads [][]byte) {
	c := New(m)
	open := codec.Entry{Index: 1, Term: 1, Kind: codec.KindCommand, Data: codec.AppendCommand(nil, codec.Command{Payload: make([]byte, codec.OpenNonce)})}
	if err := c.Apply([]codec.Entry{open}, nil); err != nil {
		b.Fatal(err)
	}
	entries := make([]codec.Entry, codec.BlockEntries)
	seq, results := uint64(0), 0
	for b.Loop() {
		b.StopTimer()
		for i := range entries {
			seq++
			command := codec.Command{Session: 1, Seq: seq, Low: max(inFlight, seq) - inFlight + 1, Payload: payloads[seq%uint64(len(payloads))]}
			entries[i] = codec.Entry{Index: codec.Index(seq + 1), Term: 1, Kind: codec.KindCommand, Data: codec.AppendCommand(entries[i].Data[:0], command)}
		}
		b.StartTimer()
		if err := c.Apply(entries, func(Result) { results++ }); err != nil {
			b.Fatal(err)
		}
	}
	if results != b.N*codec.BlockEntries {
		b.Fatalf("%d results", results)
	}
	b.ReportMetric(float64(results)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkApply is the cost of sessions, envelopes and digests (fold), and
// what it is beside a real machine (kv).
func BenchmarkApply(b *testing.B) {
	for _, inFlight := range []uint64{16, 128, 1024} {
		b.Run(fmt.Sprintf("fold/in flight %d", inFlight), func(b *testing.B) {
			benchmark(b, new(fold), inFlight, [][]byte{make([]byte, 32)})
		})
	}
	puts := make([][]byte, 50_000)
	for i := range puts {
		data, err := kv.EncodeCommand(kv.Put{Key: fmt.Sprintf("dir/%08d", i*7919%len(puts)), Value: make([]byte, 128)})
		if err != nil {
			b.Fatal(err)
		}
		puts[i] = data
	}
	b.Run("kv/in flight 128", func(b *testing.B) { benchmark(b, kv.New(), 128, puts) })
}
