package codec

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// entryOf is an entry whose data is size times the byte 0x61.
func entryOf(i Index, term Term, kind Kind, size int) Entry {
	return Entry{Index: i, Term: term, Kind: kind, Data: bytes.Repeat([]byte{'a'}, size)}
}

// entriesOf are commands of the given sizes from index first, all of term 1.
func entriesOf(first Index, sizes ...int) []Entry {
	out := make([]Entry, len(sizes))
	for i, size := range sizes {
		out[i] = entryOf(first+Index(i), 1, KindCommand, size)
	}
	return out
}

type sampleBlock struct {
	name    string
	entries []Entry
}

func sampleBlocks() []sampleBlock {
	var noops, mixed []Entry
	for i := range BlockEntries {
		noops = append(noops, entryOf(Index(1+i), 1, KindNoop, 0))
		e := entryOf(Index(1000+i), Term(3+i/50), KindCommand, 1+i%4)
		if i%50 == 0 {
			e.Kind, e.Data = KindNoop, nil
		} else if i == 70 {
			e.Kind = KindConfig
		}
		mixed = append(mixed, e)
	}
	return []sampleBlock{
		{"no-ops", noops},
		{"mixed", mixed},
		{"one entry of 256 KiB", entriesOf(1<<32, BlockBytes)},
		{"the largest data after a short one", entriesOf(7, 1, MaxEntryData)},
	}
}

// requireEntries compares entries; no data and empty data are equal.
func requireEntries(t require.TestingT, want, got []Entry) {
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Cursor(), got[i].Cursor())
		require.Equal(t, want[i].Kind, got[i].Kind)
		require.True(t, bytes.Equal(want[i].Data, got[i].Data), "data of entry %d", i)
	}
}

// drawBlock draws the entries of one whole block.
func drawBlock(t *rapid.T) []Entry {
	next := Index(rapid.Uint64Range(1, 1<<62).Draw(t, "first"))
	term := Term(rapid.Uint64Range(1, 1<<62).Draw(t, "term"))
	size := rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(1, 5000), rapid.IntRange(1, MaxEntryData))
	var out []Entry
	for fill := (BlockFill{}); ; next++ {
		term += Term(max(0, rapid.IntRange(-20, 3).Draw(t, "newer")))
		e := entryOf(next, term, Kind(rapid.IntRange(0, 2).Draw(t, "kind")), 0)
		if e.Kind != KindNoop {
			e.Data = bytes.Repeat([]byte{byte(next)}, size.Draw(t, "size"))
		}
		out = append(out, e)
		if fill.Add(len(e.Data)) {
			return out
		}
	}
}

// wireBlock is the block as the CBOR library sees it.
type wireBlock struct {
	First   uint64   `cbor:"1,keyasint"`
	Terms   []uint64 `cbor:"2,keyasint"`
	Kinds   []uint64 `cbor:"3,keyasint"`
	Lengths []uint64 `cbor:"4,keyasint"`
	Payload []byte   `cbor:"5,keyasint"`
}

func wireOf(entries []Entry) wireBlock {
	w := wireBlock{First: uint64(entries[0].Index)}
	for _, e := range entries {
		w.Terms = addRun(w.Terms, uint64(e.Term))
		w.Kinds = addRun(w.Kinds, uint64(e.Kind))
		w.Lengths = append(w.Lengths, uint64(len(e.Data)))
		w.Payload = append(w.Payload, e.Data...)
	}
	return w
}

func addRun(runs []uint64, v uint64) []uint64 {
	if n := len(runs); n > 0 && runs[n-1] == v {
		runs[n-2]++
		return runs
	}
	return append(runs, 1, v)
}

// The block encoding by hand equals that of the CBOR library, and decodes to
// the same entries.
func TestBlockEqualsLibrary(t *testing.T) {
	var b Block
	rapid.Check(t, func(t *rapid.T) {
		entries := drawBlock(t)
		data, err := AppendBlock([]byte("before"), entries)
		require.NoError(t, err)
		data = data[len("before"):]
		want, err := encMode.Marshal(wireOf(entries))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, data))
		require.LessOrEqual(t, len(data), MaxBlock)
		require.NoError(t, DecodeBlock(data, &b))
		requireEntries(t, entries, b.Entries())
		require.Equal(t, len(data), b.Size())
		require.Equal(t, entries[0].Index, b.First())
		require.Equal(t, entries[len(entries)-1].Cursor(), b.Last())
		hasConfig := false
		for _, e := range entries {
			hasConfig = hasConfig || e.Kind == KindConfig
		}
		require.Equal(t, hasConfig, b.HasConfig())
	})
}

func TestBlockRule(t *testing.T) {
	full := make([]int, BlockEntries)
	for i := range full {
		full[i] = 1
	}
	for _, c := range []struct {
		name  string
		sizes []int
		whole bool
	}{
		{"128 entries", full, true},
		{"127 entries", full[1:], false},
		{"129 entries", append(full[:BlockEntries:BlockEntries], 1), false},
		{"exactly 256 KiB", []int{BlockBytes - 1, 1}, true},
		{"one byte less", []int{BlockBytes - 1}, false},
		{"one entry of 256 KiB", []int{BlockBytes}, true},
		{"an entry after 256 KiB", []int{BlockBytes, 1}, false},
		{"an entry of 1 MiB", []int{1 << 20}, true},
		{"the largest after just too little", []int{BlockBytes - 1, MaxEntryData}, true},
		{"an entry that is too large", []int{MaxEntryData + 1}, false},
		{"none", nil, false},
	} {
		_, err := AppendBlock(nil, entriesOf(1, c.sizes...))
		if c.whole {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorIs(t, err, ErrBlock, c.name)
		}
	}
}

// Where blocks end depends on the log alone: BlockFill cuts a log into blocks
// that AppendBlock takes, whichever block the counting begins at.
func TestBlockFillCutsAnyLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(1, 200_000)), 1, 600).Draw(t, "sizes")
		log := entriesOf(1, sizes...)
		var fill BlockFill
		var ends []int
		for i := range log {
			if fill.Add(len(log[i].Data)) {
				ends = append(ends, i+1)
			}
		}
		start := 0
		for _, end := range ends {
			data, err := AppendBlock(nil, log[start:end])
			require.NoError(t, err)
			require.LessOrEqual(t, len(data), MaxBlock)
			start = end
		}
		require.Equal(t, len(log)-start, fill.Entries)
	})
}

// The block with the longest columns and the greatest payload fits MaxBlock.
func TestMaxBlockBounds(t *testing.T) {
	const first, term = maxIndex - BlockEntries, 1<<63 + 1
	var entries []Entry
	for i := range BlockEntries {
		kind, size := KindCommand+Kind(i%2), (BlockBytes-1)/(BlockEntries-1)
		if i == BlockEntries-1 {
			size = MaxEntryData
		}
		entries = append(entries, entryOf(first+Index(i), term+Term(i), kind, size))
	}
	data, err := AppendBlock(nil, entries)
	require.NoError(t, err)
	require.LessOrEqual(t, len(data), MaxBlock)
	require.Greater(t, len(data), BlockBytes+MaxEntryData)
	var b Block
	require.NoError(t, DecodeBlock(data, &b))
	require.ErrorIs(t, DecodeBlock(append(data, make([]byte, MaxBlock)...), &b), ErrBlock)
	require.Zero(t, b.Len())
}

func TestAppendBlockRefuses(t *testing.T) {
	change := func(i int, f func(*Entry)) []Entry {
		entries := sampleBlocks()[1].entries
		f(&entries[i])
		return entries
	}
	for name, entries := range map[string][]Entry{
		"a gap":             change(5, func(e *Entry) { e.Index++ }),
		"term 0":            change(0, func(e *Entry) { e.Term = 0 }),
		"a term that falls": change(127, func(e *Entry) { e.Term = 1 }),
		"a no-op with data": change(3, func(e *Entry) { e.Kind = KindNoop }),
		"an empty command":  change(3, func(e *Entry) { e.Data = nil }),
		"an unknown kind":   change(3, func(e *Entry) { e.Kind = 3 }),
		"index 0":           entriesOf(0, BlockBytes),
		"an index too far":  entriesOf(maxIndex+1, BlockBytes),
	} {
		_, err := AppendBlock(nil, entries)
		require.ErrorIs(t, err, ErrBlock, name)
	}
}

// DecodeBlock accepts the canonical encoding alone.
func TestDecodeBlockStrict(t *testing.T) {
	change := func(f func(*wireBlock)) []byte {
		w := wireOf(sampleBlocks()[1].entries)
		f(&w)
		data, err := encMode.Marshal(w)
		require.NoError(t, err)
		return data
	}
	good := change(func(*wireBlock) {})
	var b Block
	require.NoError(t, DecodeBlock(good, &b))
	bad := map[string][]byte{
		"trailing byte":        append(bytes.Clone(good), 0),
		"long first index":     bytes.Replace(good, []byte{1, 0x19, 0x03, 0xe8}, []byte{1, 0x1a, 0, 0, 0x03, 0xe8}, 1),
		"index 0":              change(func(w *wireBlock) { w.First = 0 }),
		"an index too far":     change(func(w *wireBlock) { w.First = maxIndex + 1 }),
		"a run split in two":   change(func(w *wireBlock) { w.Terms = append([]uint64{1, w.Terms[1], w.Terms[0] - 1}, w.Terms[1:]...) }),
		"an empty run":         change(func(w *wireBlock) { w.Kinds = append(w.Kinds, 0, 1) }),
		"an endless run":       change(func(w *wireBlock) { w.Terms[0] = 1<<64 - 1 }),
		"half a run":           change(func(w *wireBlock) { w.Terms = w.Terms[:len(w.Terms)-1] }),
		"runs too short":       change(func(w *wireBlock) { w.Kinds = w.Kinds[:2] }),
		"a run too many":       change(func(w *wireBlock) { w.Terms = append(w.Terms, 1, 99) }),
		"a kind above 255":     change(func(w *wireBlock) { w.Kinds[1] = 256 }),
		"a length too great":   change(func(w *wireBlock) { w.Lengths[1] = 1<<64 - 1 }),
		"payload too long":     change(func(w *wireBlock) { w.Payload = append(w.Payload, 1) }),
		"payload too short":    change(func(w *wireBlock) { w.Payload = w.Payload[1:] }),
		"no entries":           change(func(w *wireBlock) { *w = wireBlock{First: 1} }),
		"an entry too few":     change(func(w *wireBlock) { w.Lengths = w.Lengths[:127] }),
		"an indefinite map":    append(append([]byte{0xbf}, good[1:]...), 0xff),
		"a tag":                append([]byte{0xd9, 0xd9, 0xf7}, good...),
		"nothing":              {},
		"an array of 2^64 - 1": {0xa5, 1, 1, 2, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255},
	}
	for i := range good {
		bad["cut"] = good[:i]
		for name, data := range bad {
			require.ErrorIs(t, DecodeBlock(data, &b), ErrBlock, "%s %d", name, i)
			require.Zero(t, b.Len(), name)
			require.False(t, b.HasConfig(), name)
		}
		bad = map[string][]byte{}
	}
}

func TestDecodeBlockReusesMemory(t *testing.T) {
	for _, s := range sampleBlocks() {
		data, err := AppendBlock(nil, s.entries)
		require.NoError(t, err)
		var b Block
		require.NoError(t, DecodeBlock(data, &b))
		require.Zero(t, testing.AllocsPerRun(100, func() { _ = DecodeBlock(data, &b) }), s.name)
	}
}

func benchEntries() []Entry {
	sizes := make([]int, BlockEntries)
	for i := range sizes {
		sizes[i] = 128
	}
	return entriesOf(1<<20, sizes...)
}

func BenchmarkDecodeBlock(b *testing.B) {
	data, err := AppendBlock(nil, benchEntries())
	require.NoError(b, err)
	var block Block
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeBlock(data, &block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(BlockEntries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkAppendBlock(b *testing.B) {
	entries := benchEntries()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = AppendBlock(dst[:0], entries); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(dst)))
	b.ReportMetric(BlockEntries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
