package actors

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// deliver delivers blocks at a rate that depends on whether they are compressed, for
// so long, and counts the time in which they were.
func (p *packing) deliver(now *time.Time, span time.Duration, ratio, plain, packed float64) (on time.Duration) {
	const size = 16 << 10
	p.waits(*now)
	for end := now.Add(span); now.Before(end); {
		rate := plain
		if p.on {
			rate = packed
		}
		step := time.Duration(size / rate * float64(time.Second))
		if p.on {
			on += step
		}
		*now = now.Add(step)
		p.arrived(*now, size, func() float64 { return ratio })
	}
	return on
}

// Both ways are tried where compression could help; the one by which more arrives
// is kept.
func TestPacking(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct {
		name            string
		ratio           float64
		plain, packed   float64 // bytes a second
		atLeast, atMost time.Duration
		afterwards      bool
	}{
		{name: "a slow link", ratio: 0.3, plain: 1e6, packed: 3e6, atLeast: hour - 6*time.Minute, atMost: hour, afterwards: true},
		{name: "a fast link", ratio: 0.3, plain: 100e6, packed: 300e6},
		{name: "what does not shrink", ratio: 1, plain: 1e6, packed: 1e6},
		{name: "slow processors", ratio: 0.3, plain: 10e6, packed: 2e6, atLeast: time.Minute, atMost: 6 * time.Minute},
		{name: "something else is the bound", ratio: 0.3, plain: 10e6, packed: 10e6, atLeast: time.Minute, atMost: 6 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			now, p := time.Unix(0, 0), packing{}
			on := p.deliver(&now, hour, c.ratio, c.plain, c.packed)
			require.GreaterOrEqual(t, on, c.atLeast)
			require.LessOrEqual(t, on, c.atMost)
			if c.afterwards {
				require.True(t, p.on)
			}
		})
	}
}

// A link that has become fast is found out, and time in which nothing is owed does
// not make one look slow.
func TestPackingFollowsTheLink(t *testing.T) {
	now, p := time.Unix(0, 0), packing{}
	p.deliver(&now, time.Minute, 0.3, 1e6, 3e6)
	require.True(t, p.on)
	p.deliver(&now, 5*time.Minute, 0.3, 50e6, 5e6)
	require.False(t, p.on)

	p = packing{}
	for range 100 {
		p.deliver(&now, 100*time.Millisecond, 0.3, 100e6, 1e6)
		p.idles()
		now = now.Add(10 * time.Second)
	}
	require.False(t, p.on)
	require.Zero(t, p.other)
}

// compressible is bytes that zstd makes much shorter.
func compressible(n int) []byte {
	return bytes.Repeat([]byte("a line of text, like others. "), n/29+1)[:n]
}

// Blocks that are wanted compressed are sent so if that makes them shorter.
func TestProviderCompresses(t *testing.T) {
	log := newLog(t, 4, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 64<<20)
		r.tell(&codec.Fetch{Lease: 1, Zstd: true, Ranges: []codec.WantRange{{To: 4}}})
		var s squeezer
		for number := range uint64(4) {
			b := r.next().(*codec.Blocks)
			require.True(t, b.Zstd)
			require.Less(t, len(b.Data), len(log.blocks[number])/2)
			data, err := s.decompress(b.Data)
			require.NoError(t, err)
			require.Equal(t, log.blocks[number], data)
		}
		require.IsType(t, &codec.End{}, r.next())
	})
}

// What does not shrink is sent as it is.
func TestConnSendsWhatDoesNotShrink(t *testing.T) {
	block := make([]byte, 64<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(block)
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := streamPair(1 << 20)
		c := startConn(theirs, 0, nil, nil, func(error) {})
		require.NoError(t, c.sendBlock(blockOut{lease: 1, number: 7, data: block, zstd: true}, nil))
		b := (&requester{t: t, memStream: ours}).next().(*codec.Blocks)
		require.False(t, b.Zstd)
		require.Equal(t, block, b.Data)
		c.close()
	})
}

// A compressed block arrives as what it is of; what is no zstd, or of more than a
// block may have, breaks the stream and takes no memory (fault H8).
func TestFetcherDecompresses(t *testing.T) {
	block := compressible(20_000)
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		var s squeezer
		x.send(fetchOf(1, 0, 4))
		peer := x.stream(0)
		require.Equal(t, codec.TypeFetch, x.read(peer))
		x.answer(peer, &codec.Blocks{Lease: 1, Number: 0, Zstd: true, Data: s.compress(block)})
		arrived := ofType[blockArrived](x.coord.take())
		require.Len(t, arrived, 1)
		require.Equal(t, block, arrived[0].block.Data)
		require.Equal(t, codec.Leaf(block), arrived[0].leaf)
		arrived[0].done()
		x.answer(peer, &codec.Blocks{Lease: 1, Number: 1, Zstd: true, Data: []byte("no zstd")})
		require.Len(t, ofType[streamReset](x.coord.take()), 1)
	})
	var s squeezer // of this goroutine, outside of the bubble
	_, err := s.decompress(s.compress(make([]byte, 100<<20)))
	require.Error(t, err)
}

// Over a slow link a fetcher comes to ask for compressed blocks, unless it must not.
func TestFetcherAsksForCompression(t *testing.T) {
	for _, plain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			x := newFetching(t)
			x.f.plain = plain
			block := compressible(16 << 10)
			asked := false
			for lease := uint64(1); lease <= 40; lease++ {
				x.send(fetchOf(lease, 0, 4))
				kind, body, err := codec.ReadFrame(x.stream(0), nil, providerFrames...)
				require.NoError(t, err)
				require.Equal(t, codec.TypeFetch, kind)
				var m codec.Fetch
				require.NoError(t, codec.Decode(body, &m))
				asked = asked || m.Zstd
				for n := range uint64(4) {
					time.Sleep(50 * time.Millisecond)
					x.answer(x.stream(0), &codec.Blocks{Lease: lease, Number: n, Data: block})
				}
				x.answer(x.stream(0), endOf(lease))
				for _, b := range ofType[blockArrived](x.coord.take()) {
					b.done()
				}
			}
			require.Equal(t, !plain, asked)
		})
	}
}
