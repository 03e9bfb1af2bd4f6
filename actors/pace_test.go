package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
)

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
