package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
)

// flatList is the obvious lease: every block of its list, one by one.
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

func TestLeaseAgainstFlatList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ranges := drawRanges(t)
		var flat flatList
		flat.add(ranges)
		l := newLease(codec.Fetch{Lease: 3, Ranges: ranges})
		t.Repeat(map[string]func(*rapid.T){
			"extend": func(t *rapid.T) {
				more := drawRanges(t)
				seq := flat.seq + rapid.Uint64Range(0, 2).Draw(t, "step")
				err := l.extend(codec.Extend{Lease: 3, Seq: seq, Ranges: more})
				if seq != flat.seq+1 {
					require.ErrorIs(t, err, errSeq)
					return
				}
				require.NoError(t, err)
				flat.seq++
				flat.add(more)
			},
			"trim": func(t *rapid.T) {
				place := rapid.Uint64Range(0, 60).Draw(t, "place")
				seq := flat.seq + rapid.Uint64Range(0, 2).Draw(t, "step")
				err := l.trim(codec.Trim{Lease: 3, Seq: seq, Place: place})
				if seq != flat.seq+1 {
					require.ErrorIs(t, err, errSeq)
					return
				}
				require.NoError(t, err)
				flat.seq++
				flat.cut = true
				flat.blocks = flat.blocks[:min(len(flat.blocks), max(int(place), flat.sent))]
			},
			"send": func(t *rapid.T) {
				for range rapid.IntRange(1, 10).Draw(t, "count") {
					number, _, ok := l.next()
					require.Equal(t, flat.sent < len(flat.blocks), ok)
					if !ok {
						return
					}
					require.Equal(t, flat.blocks[flat.sent], number)
					l.advance(number)
					flat.sent++
					require.Equal(t, number, l.last)
				}
			},
			"": func(t *rapid.T) {
				require.Equal(t, uint64(flat.sent), l.sent)
				require.Equal(t, flat.seq, l.seq)
				require.Equal(t, flat.cut, l.done() == codec.EndTrimmed)
				for _, r := range l.ranges {
					require.Less(t, r.From, r.To, "no empty range is kept")
				}
			},
		})
	})
}

// A lease for leaves only moves on by whole proof groups and ranges.
func TestLeasePasses(t *testing.T) {
	l := newLease(codec.Fetch{Lease: 1, Leaves: true, Ranges: []codec.WantRange{{From: 30, To: 70}, {From: 100, To: 1 << 50, Proved: true}}})
	var got []uint64
	for {
		number, proved, ok := l.next()
		if !ok {
			break
		}
		got = append(got, number)
		l.pass(proved)
	}
	require.Equal(t, []uint64{30, 32, 64, 100}, got)
	require.Zero(t, l.sent)
}

func TestLeaseIsBounded(t *testing.T) {
	l := newLease(codec.Fetch{Lease: 1, Ranges: wants(0, 1)})
	var err error
	for seq := uint64(1); err == nil; seq++ {
		err = l.extend(codec.Extend{Lease: 1, Seq: seq, Ranges: make([]codec.WantRange, codec.MaxRanges)})
		require.LessOrEqual(t, len(l.ranges), maxLeaseRanges)
	}
}

// Whatever is taken and whenever, a bucket that is waited for lets the mean rate
// pass, and no more than a burst and a block beyond it.
func TestBucketKeepsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1000, 100<<20).Draw(t, "rate")
		begun := time.Unix(1000, 0)
		now := begun
		var b bucket
		b.setRate(now, rate)
		total, largest := int64(0), int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "blocks") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(300*time.Millisecond)).Draw(t, "pause")))
			waited := b.wait(now)
			now = now.Add(waited)
			require.Zero(t, b.wait(now), "after the wait it lets the next pass")
			if waited > 0 {
				require.LessOrEqual(t, b.tokens, float64(rate)*(2*time.Millisecond).Seconds()+1, "it waits no longer than needed")
			}
			size := rapid.Int64Range(1, codec.MaxBlock).Draw(t, "size")
			b.take(size)
			total, largest = total+size, max(largest, size)
			allowed := float64(rate)*(now.Sub(begun)+bucketBurst).Seconds() + float64(largest)
			require.LessOrEqual(t, float64(total), allowed+1)
		}
	})
}

func TestBucketWithoutLimit(t *testing.T) {
	var b bucket
	now := time.Unix(1000, 0)
	b.setRate(now, 1)
	b.take(1 << 20)
	require.Greater(t, b.wait(now), time.Hour)
	b.setRate(now, -1)
	b.take(1 << 40)
	require.Zero(t, b.wait(now))
	b.setRate(now, 1<<20)
	require.Zero(t, b.wait(now), "a new rate begins without debt")
}

// The meter comes close to a constant rate, and follows it when it changes.
func TestRateMeter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m rateMeter
		now := time.Unix(1000, 0)
		for range rapid.IntRange(1, 3).Draw(t, "phases") {
			rate := rapid.IntRange(10_000, 100_000_000).Draw(t, "rate")
			step := time.Duration(rapid.IntRange(1, 100).Draw(t, "step")) * time.Millisecond
			for end := now.Add(15 * time.Second); now.Before(end); {
				now = now.Add(step)
				m.add(now, int64(float64(rate)*step.Seconds()))
			}
			require.InEpsilon(t, rate, m.perSec, 0.1)
		}
	})
}

// The bytes that a session may hold unsent follow its rate, within bounds.
func TestUnsentLimit(t *testing.T) {
	for rate, want := range map[float64]int64{0: minUnsent, 100: minUnsent, 5e6: 2e6, 1e9: maxUnsent} {
		s := session{rate: rateMeter{perSec: rate}}
		require.Equal(t, want, s.limit())
	}
}
