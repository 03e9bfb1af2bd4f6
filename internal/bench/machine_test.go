package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/machinetest"
)

func TestFoldConforms(t *testing.T) {
	machinetest.Conform(t, func() machine.Machine { return &fold{} }, func(t *rapid.T) []byte {
		return rapid.SliceOf(rapid.Byte()).Draw(t, "command")
	})
}

// The rate counts what comes behind the batch that reached settle.
func TestSteadyRate(t *testing.T) {
	m := &observed{Machine: &fold{}, settle: 5}
	apply := func(n int) {
		var b machine.Batch
		for range n {
			b.Add(1, []byte("command"))
		}
		m.Apply(&b)
	}
	apply(4)
	require.Zero(t, m.steady(4, time.Now()))
	apply(4)
	begun := m.settled.Load().at
	apply(12)
	require.InDelta(t, 6, m.steady(m.commands, begun.Add(2*time.Second)), 1e-9)
	require.False(t, m.first.Load().at.After(begun))
}

// Logs that differ anywhere fold to different sums.
func TestFoldTellsApart(t *testing.T) {
	sums := map[uint64]bool{}
	for _, commands := range [][]string{
		{},
		{""},
		{"", ""},
		{"a"},
		{"a", ""},
		{"ab"},
		{"a", "b"},
		{"b", "a"},
		{"\x00"},
		{"\x00\x00"},
		{"12345678"},
		{"12345678\x00"},
		{"1234567", "8"},
		{"123456781234567"},
		{"12345678", "1234567"},
	} {
		var sum uint64
		for _, c := range commands {
			sum = foldIn(sum, []byte(c))
		}
		require.False(t, sums[sum], "%q", commands)
		sums[sum] = true
	}
}
