package kv

import (
	"fmt"
	"testing"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// commands are puts of n keys in a scattered order.
func commands(b *testing.B, n, valueSize int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		c := Put{Key: fmt.Sprintf("dir/%08d", i*7919%n), Value: make([]byte, valueSize)}
		data, err := EncodeCommand(c)
		if err != nil {
			b.Fatal(err)
		}
		out[i] = data
	}
	return out
}

// BenchmarkPut puts 128-byte values in batches of 128: into 100,000 keys that
// come again and again, beside the hash that every put needs.
func BenchmarkPut(b *testing.B) {
	puts := commands(b, 100_000, 128)
	b.Run("put", func(b *testing.B) {
		m, next := New(), 0
		var batch machine.Batch
		for b.Loop() {
			batch.Reset()
			for i := range 128 {
				batch.Add(codec.Index(i+1), puts[next])
				next = (next + 1) % len(puts)
			}
			m.Apply(&batch)
		}
		perEntry(b)
	})
	b.Run("hash alone", func(b *testing.B) {
		for b.Loop() {
			for i := range 128 {
				machine.ElementHash(puts[i])
			}
		}
		perEntry(b)
	})
}

func perEntry(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(128*b.N), "ns/entry")
}

func BenchmarkGet(b *testing.B) {
	m := New()
	var batch machine.Batch
	for i, c := range commands(b, 100_000, 128) {
		batch.Reset()
		batch.Add(codec.Index(i+1), c)
		m.Apply(&batch)
	}
	query, err := EncodeQuery(Get{Key: "dir/00004711"})
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	for b.Loop() {
		if dst, err = m.Query(dst[:0], query); err != nil {
			b.Fatal(err)
		}
	}
}
