package virtual

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// liar is the peer that lies: the last, which does not vote and so never leads.
func (s scenario) liar() int { return len(s.up) - 1 }

// M3: one bit of a block is wrong. The peer that sent it is named and out, and
// its block comes from another; nobody else is punished, and at most one lease is
// lost.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	s := equal(5, 50*time.Millisecond, 16)
	s.entry = 16
	var sent, flipped atomic.Int64
	s.lie = func(_ *world, peer int) func(codec.FrameType, []byte) []byte {
		if peer != s.liar() {
			return nil
		}
		return func(kind codec.FrameType, body []byte) []byte {
			if kind == codec.TypeBlocks && sent.Add(1)%300 == 0 { // the next ones for when another brought that block first
				body = bytes.Clone(body)
				body[len(body)-7] ^= 16
				flipped.Add(1)
			}
			return body
		}
	}
	o := play(t, s)
	t.Logf("%v; %d blocks, %d of them from the liar", o, len(o.log.blocks), sent.Load())
	require.Greater(t, len(o.log.blocks), 1000)
	require.Positive(t, flipped.Load())
	require.Equal(t, "out", o.peer(s.liar()).State)
	require.Contains(t, o.peer(s.liar()).Error, "block")
	o.honest(t, s.liar())
	lease := int64(4 << 20)
	require.Less(t, int64(o.sync.Doubled), lease)
}

// M3: a peer says that it has all blocks, and has half of them.
func TestOffersWhatItLacks(t *testing.T) {
	t.Parallel()
	s := equal(5, 50*time.Millisecond, 16)
	s.lacks = map[int]float64{s.liar(): 0.5}
	s.lie = func(w *world, peer int) func(codec.FrameType, []byte) []byte {
		if peer != s.liar() {
			return nil
		}
		all := uint64(len(w.log.blocks))
		return rewriteHeld(func(_ []codec.BlockRange, head *codec.Head) []codec.BlockRange {
			head.Blocks, head.Last = all, w.log.last
			return []codec.BlockRange{{From: 0, To: all}}
		})
	}
	o := play(t, s)
	shares := s.shares(o.leader)
	shares[s.liar()] = 0
	alone := raw(t, s, o.log.bytes, shares)
	t.Logf("%v; without the liar %.2f s", o, alone.Seconds())
	require.Less(t, o.took.Seconds(), 1.1*alone.Seconds())
	o.honest(t, s.liar())
}
