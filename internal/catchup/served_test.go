package catchup

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
)

// flatList is the obvious served lease: every block of its list, one by one.
type flatList struct {
	blocks []uint64
	sent   int
	seq    uint64
	cut    bool
}

func (f *flatList) add(ranges []codec.WantRange) {
	for _, r := range ranges {
		for n := r.From; n < r.To; n++ {
			f.blocks = append(f.blocks, n)
		}
	}
}

func drawRanges(t *rapid.T) []codec.WantRange {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) codec.WantRange {
		from := rapid.Uint64Range(0, 50).Draw(t, "from")
		return codec.WantRange{From: from, To: from + rapid.Uint64Range(1, 9).Draw(t, "blocks")}
	}), 1, 4).Draw(t, "ranges")
}

func TestServedAgainstFlatList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges := drawRanges(t)
		var flat flatList
		flat.add(ranges)
		l := Serve(codec.Fetch{Lease: 3, Ranges: ranges})
		t.Repeat(map[string]func(*rapid.T){
			"extend": func(t *rapid.T) {
				more := drawRanges(t)
				seq := flat.seq + rapid.Uint64Range(0, 2).Draw(t, "step")
				err := l.Extend(codec.Extend{Lease: 3, Seq: seq, Ranges: more})
				if seq != flat.seq+1 {
					require.ErrorIs(t, err, ErrSeq)
					return
				}
				require.NoError(t, err)
				flat.seq++
				flat.add(more)
			},
			"trim": func(t *rapid.T) {
				place := rapid.Uint64Range(0, 60).Draw(t, "place")
				seq := flat.seq + rapid.Uint64Range(0, 2).Draw(t, "step")
				err := l.Trim(codec.Trim{Lease: 3, Seq: seq, Place: place})
				if seq != flat.seq+1 {
					require.ErrorIs(t, err, ErrSeq)
					return
				}
				require.NoError(t, err)
				flat.seq++
				flat.cut = true
				flat.blocks = flat.blocks[:min(len(flat.blocks), max(int(place), flat.sent))]
			},
			"send": func(t *rapid.T) {
				for range rapid.IntRange(1, 10).Draw(t, "count") {
					number, _, ok := l.Next()
					require.Equal(t, flat.sent < len(flat.blocks), ok)
					if !ok {
						return
					}
					require.Equal(t, flat.blocks[flat.sent], number)
					l.Advance(number)
					flat.sent++
					require.Equal(t, number, l.Last)
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, uint64(flat.sent), l.Sent)
				require.Equal(t, flat.seq, l.Seq)
				require.Equal(t, flat.cut, l.Done() == codec.EndTrimmed)
				for _, r := range l.ranges {
					require.Less(t, r.From, r.To, "no empty range is kept")
				}
			},
		})
	})
}

// A lease for leaves only moves on by whole proof groups and ranges.
func TestServedPasses(t *testing.T) {
	l := Serve(codec.Fetch{Lease: 1, Leaves: true, Ranges: []codec.WantRange{{From: 30, To: 70}, {From: 100, To: 1 << 50, Proved: true}}})
	var got []uint64
	for {
		number, proved, ok := l.Next()
		if !ok {
			break
		}
		got = append(got, number)
		l.Pass(proved)
	}
	require.Equal(t, []uint64{30, 32, 64, 100}, got)
	require.Zero(t, l.Sent)
}

func TestServedIsBounded(t *testing.T) {
	l := Serve(codec.Fetch{Lease: 1, Ranges: []codec.WantRange{{From: 0, To: 1}}})
	var err error
	for seq := uint64(1); err == nil; seq++ {
		err = l.Extend(codec.Extend{Lease: 1, Seq: seq, Ranges: make([]codec.WantRange, codec.MaxRanges)})
		require.LessOrEqual(t, len(l.ranges), maxServedRanges)
	}
}
