package virtual

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/p2p/p2ptest"
)

// mixed is the uplinks of eight peers, the fastest 40 times as fast as the slowest.
func mixed(fastest int) (up []int, sum int) {
	for _, share := range []float64{1, 0.6, 0.35, 0.2, 0.125, 0.075, 0.05, 0.025} {
		up = append(up, int(share*float64(fastest)))
		sum += up[len(up)-1]
	}
	return up, sum
}

// Eight peers with rates from 40 to 1.
func TestMixedPeers(t *testing.T) {
	t.Parallel()
	fastest, entry := 5*p2ptest.Mbit, 32
	if *long {
		fastest, entry = 32*p2ptest.Mbit, 128
	}
	s := scenario{roundTrip: 50 * time.Millisecond, entry: entry}
	var sum int
	s.up, sum = mixed(fastest)
	s.bytes = int64(24 * float64(sum) / 8)
	o := play(t, s)
	demand{ratio: 0.75, doubled: 0.04}.check(t, s, o)
}

// One of four peers is 50 times slower than the others.
func TestOneSlowPeer(t *testing.T) {
	t.Parallel()
	up := 6 * p2ptest.Mbit
	s := scenario{roundTrip: 50 * time.Millisecond, up: []int{up, up, up, up / 50}, entry: 32, bytes: int64(16 * 2.27 * float64(up) / 8)}
	o := play(t, s)
	demand{ratio: 0.80, doubled: 0.02}.check(t, s, o)
	require.LessOrEqual(t, o.peer(3).Rests, uint64(2), "of the slow peer; the bar is none")
	o.honest(t, 3)
}

// Entries of one byte make blocks of a kilobyte and a half, entries of a mebibyte
// blocks of one entry each.
func TestEntrySizes(t *testing.T) {
	for name, size := range map[string]int{"1B": 1, "1MiB": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := equal(2, 50*time.Millisecond, 32)
			s.entry = size
			if size > 1<<10 {
				s = equal(1, 50*time.Millisecond, 32)
				s.entry, s.up = size, []int{s.up[0], s.up[0]}
				s.bytes *= 2
			}
			o := play(t, s)
			demand{ratio: 0.90, doubled: 0.02}.check(t, s, o)
			o.honest(t)
		})
	}
}

// Half of the peers are without the beginning of the log: they say so, are asked
// for nothing of it, and give the rest.
func TestPrunedPeers(t *testing.T) {
	t.Parallel()
	s := equal(4, 50*time.Millisecond, 24)
	s.voters = 2 // who keep all
	var asked atomic.Int64
	s.lie = func(w *world, peer int) func(codec.FrameType, []byte) []byte {
		if peer < s.voters {
			return nil
		}
		from := uint64(len(w.log.blocks)) / 3
		prune := rewriteHeld(func(held []codec.BlockRange, _ *codec.Head) []codec.BlockRange {
			for i := range held {
				held[i].From = max(held[i].From, from)
			}
			return held
		})
		return func(kind codec.FrameType, body []byte) []byte {
			if b, err := codec.DecodeBlocks(body); kind == codec.TypeBlocks && err == nil && b.Number < from {
				asked.Add(1)
			}
			return prune(kind, body)
		}
	}
	o := play(t, s)
	demand{ratio: 0.80, doubled: 0.04}.check(t, s, o)
	o.honest(t)
	require.Zero(t, asked.Load(), "blocks that the pruned peers lack were asked of them")
	for i := s.voters; i < len(s.up); i++ {
		require.Greater(t, o.share(i), 0.15, "of the log came from pruned peer %d", i)
	}
}

// rewriteHeld changes what a peer says that it has.
func rewriteHeld(change func([]codec.BlockRange, *codec.Head) []codec.BlockRange) func(codec.FrameType, []byte) []byte {
	encode := func(m codec.Message) []byte {
		body, err := codec.Encode(m)
		if err != nil {
			panic(err)
		}
		return body
	}
	return func(kind codec.FrameType, body []byte) []byte {
		switch kind {
		case codec.TypeAvailabilityReply:
			var m codec.AvailabilityReply
			if codec.Decode(body, &m) == nil {
				m.Held = change(m.Held, &m.Head)
				return encode(&m)
			}
		case codec.TypeEnd:
			var m codec.End
			if codec.Decode(body, &m) == nil {
				m.Held = change(m.Held, &m.Head)
				return encode(&m)
			}
		}
		return body
	}
}
