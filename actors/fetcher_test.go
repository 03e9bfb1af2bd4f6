package actors

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// fetching is a fetcher between an inbox and the streams that it opens. It
// lives in a bubble.
type fetching struct {
	t       *testing.T
	system  *actor.ActorSystem
	coord   *inbox
	coordID *actor.PID
	pid     *actor.PID
	f       *fetcher
	net     *fakeNetwork
	stray   atomic.Uint64

	mu      sync.Mutex
	streams []*memStream // the peer's ends
}

func newFetching(t *testing.T) *fetching {
	t.Helper()
	x := &fetching{t: t, system: testSystem(t), coord: &inbox{}, net: &fakeNetwork{}}
	x.net.open = func(context.Context, codec.PeerID) (Stream, error) {
		ours, theirs := streamPair(64 << 20)
		x.mu.Lock()
		defer x.mu.Unlock()
		x.streams = append(x.streams, theirs)
		return ours, nil
	}
	x.coordID = spawn(x.system, x.coord)
	x.f = newFetcher("peer", x.net, SystemClock{}, x.coordID, false, discard(), &x.stray)
	x.pid = spawn(x.system, witness{x.f})
	t.Cleanup(func() {
		stopActor(t, x.system, x.pid)
		stopActor(t, x.system, x.coordID)
	})
	return x
}

func (x *fetching) send(messages ...any) {
	for _, m := range messages {
		x.system.Root.Send(x.pid, m)
	}
	synctest.Wait()
}

// stream is the n-th stream that was opened.
func (x *fetching) stream(n int) *memStream {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	require.Greater(x.t, len(x.streams), n)
	return x.streams[n]
}

// read is the next frame that the peer gets.
func (x *fetching) read(s *memStream) codec.FrameType {
	x.t.Helper()
	kind, _, err := codec.ReadFrame(s, nil, providerFrames...)
	require.NoError(x.t, err)
	return kind
}

func (x *fetching) answer(s *memStream, messages ...codec.Message) {
	for _, m := range messages {
		write(s, m)
	}
	synctest.Wait()
}

func fetchOf(lease, from, to uint64) fetch {
	return fetch{codec.Fetch{Lease: lease, Ranges: []codec.WantRange{{From: from, To: to}}}}
}

func blockOf(lease, number uint64) *codec.Blocks {
	return &codec.Blocks{Lease: lease, Number: number, Data: []byte("block")}
}

func endOf(lease uint64) *codec.End { return &codec.End{Lease: lease, Reason: codec.EndDone} }

// However many goroutines dispatch at once, the peer sees one lease at a time,
// and each of them once.
func TestOneLeasePerPeer(t *testing.T) {
	const senders, each = 50, 10
	log := newLog(t, 8, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		peer := &fakePeer{id: "peer", log: log, head: 8}
		x.net.open = func(context.Context, codec.PeerID) (Stream, error) {
			ours, theirs := streamPair(1 << 20)
			go peer.serve(theirs)
			return ours, nil
		}
		go func() {
			for range 100 { // the coordinator takes blocks, or the stream would stand still
				for _, b := range ofType[blockArrived](x.coord.take()) {
					b.done()
				}
				time.Sleep(time.Millisecond)
			}
		}()
		// A lease's number rises with each dispatch: who sends draws one.
		var next struct {
			sync.Mutex
			lease uint64
		}
		for range senders {
			go func() {
				for range each {
					next.Lock()
					next.lease++
					x.system.Root.Send(x.pid, fetchOf(next.lease, next.lease%8, next.lease%8+1))
					next.Unlock()
				}
			}()
		}
		time.Sleep(time.Second)
		peer.requireNoFaults(t)
		require.Len(t, peer.fetches, senders*each)
		for i, lease := range peer.fetches {
			require.Equal(t, uint64(i+1), lease, "in the order in which they were sent")
		}
		require.Equal(t, senders*each, peer.served)
	})
}

// While a lease is open, Fetches wait, in order, and what waits can be taken
// back.
func TestFetchesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		x.send(fetchOf(1, 0, 1), fetchOf(2, 1, 2), fetchOf(3, 2, 3), cancel{2})
		s := x.stream(0)
		require.Equal(t, codec.TypeFetch, x.read(s))
		require.Zero(t, s.waiting(), "one lease at a time")
		x.answer(s, blockOf(1, 0), endOf(1))
		require.Equal(t, codec.TypeFetch, x.read(s))
		require.Zero(t, s.waiting())
		x.answer(s, blockOf(3, 2), blockOf(1, 0), endOf(2), endOf(3))
		msgs := x.coord.take()
		require.Len(t, ofType[blockArrived](msgs), 2, "blocks of another lease than the open one are dropped")
		require.Equal(t, uint64(3), ofType[blockArrived](msgs)[1].block.Lease)
		ends := ofType[leaseEnded](msgs)
		require.Len(t, ends, 2, "the End of a lease that is not open is dropped")
		require.Equal(t, []uint64{1, 3}, []uint64{ends[0].end.Lease, ends[1].end.Lease})
		x.answer(s, blockOf(3, 2), endOf(3))
		require.Empty(t, x.coord.take(), "late frames are dropped")
		require.Equal(t, uint64(4), x.stray.Load(), "and counted")
	})
}

// Extend and Trim reach the peer only for the open lease.
func TestExtendOfOpenLeaseOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		more := []codec.WantRange{{From: 5, To: 6}}
		x.send(extend{codec.Extend{Lease: 1, Seq: 1, Ranges: more}})
		require.Empty(t, x.streams)
		x.send(fetchOf(2, 0, 1), extend{codec.Extend{Lease: 2, Seq: 1, Ranges: more}}, extend{codec.Extend{Lease: 1, Seq: 1, Ranges: more}}, trim{codec.Trim{Lease: 2, Seq: 2, Place: 1}}, trim{codec.Trim{Lease: 3, Seq: 1}})
		s := x.stream(0)
		for _, want := range []codec.FrameType{codec.TypeFetch, codec.TypeExtend, codec.TypeTrim} {
			require.Equal(t, want, x.read(s))
		}
		require.Zero(t, s.waiting())
	})
}

// After Cancel the fetcher is busy until End. Without one it resets the stream,
// says so, and opens another for the next lease.
func TestCancelWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		x.send(fetchOf(1, 0, 1), cancel{1}, fetchOf(2, 0, 1))
		s := x.stream(0)
		require.Equal(t, codec.TypeFetch, x.read(s))
		require.Equal(t, codec.TypeCancel, x.read(s))
		time.Sleep(cancelTimeout - time.Millisecond)
		synctest.Wait()
		require.Empty(t, x.coord.take())
		require.False(t, s.broken())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.True(t, s.broken())
		resets := ofType[streamReset](x.coord.take())
		require.Len(t, resets, 2)
		require.Equal(t, []uint64{1, 2}, []uint64{resets[0].lease, resets[1].lease})
		require.ErrorIs(t, resets[0].err, errCancelOverdue)
		x.send(fetchOf(3, 0, 1))
		require.Equal(t, codec.TypeFetch, x.read(x.stream(1)))
	})
}

// A slow line takes long to empty what was in the stream before the Cancel: as long
// as blocks come the stream stands, but not for ever (fault M3).
func TestCancelOnASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		x.send(fetchOf(1, 0, 100), cancel{1})
		s := x.stream(0)
		for n := range uint64(12) {
			x.answer(s, blockOf(1, n))
			time.Sleep(cancelTimeout * 9 / 10)
			synctest.Wait()
			require.Equal(t, time.Duration(n+1)*cancelTimeout*9/10 > cancelMost+cancelTimeout/2, s.broken(), n)
			if s.broken() {
				return
			}
		}
		t.Error("the stream stands for ever")
	})
}

// An End in time prevents that, and the next lease has a clock of its own.
func TestCancelWithEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		x.send(fetchOf(1, 0, 1), cancel{1}, fetchOf(2, 0, 1))
		s := x.stream(0)
		x.answer(s, &codec.End{Lease: 1, Reason: codec.EndCancelled})
		time.Sleep(2 * cancelTimeout)
		synctest.Wait()
		require.False(t, s.broken())
		require.Len(t, ofType[leaseEnded](x.coord.take()), 1)
		x.answer(s, blockOf(2, 0))
		require.Len(t, ofType[blockArrived](x.coord.take()), 1)
	})
}

// A stream that opens only after its lease was given up serves the next one.
func TestStreamOpensLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		now := x.net.open
		x.net.open = func(ctx context.Context, to codec.PeerID) (Stream, error) {
			time.Sleep(3 * cancelTimeout)
			return now(ctx, to)
		}
		x.send(fetchOf(1, 0, 1), cancel{1})
		time.Sleep(2 * cancelTimeout)
		synctest.Wait()
		require.Len(t, ofType[streamReset](x.coord.take()), 1)
		x.send(fetchOf(2, 0, 1))
		time.Sleep(2 * cancelTimeout)
		synctest.Wait()
		s := x.stream(0)
		require.Equal(t, codec.TypeFetch, x.read(s))
		require.Zero(t, s.waiting(), "the lease that was given up is not asked for")
		x.answer(s, blockOf(2, 0), endOf(2))
		msgs := x.coord.take()
		require.Len(t, ofType[blockArrived](msgs), 1)
		require.Len(t, ofType[leaseEnded](msgs), 1)
	})
}

func TestStreamDoesNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		broken := errors.New("unreachable")
		good := x.net.open
		x.net.open = func(context.Context, codec.PeerID) (Stream, error) { return nil, broken }
		x.send(fetchOf(1, 0, 1), fetchOf(2, 0, 1))
		resets := ofType[streamReset](x.coord.take())
		require.Len(t, resets, 2)
		require.ErrorIs(t, resets[0].err, broken)
		require.Equal(t, uint64(2), resets[1].lease)
		x.net.open = good
		x.send(fetchOf(3, 0, 1))
		require.Equal(t, codec.TypeFetch, x.read(x.stream(0)))
	})
}

// A stream is reset by what is not a frame, not allowed here, or does not
// decode; and when the peer ends it.
func TestBadFrames(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"garbage":      {0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"not allowed":  codec.AppendFrameHead(nil, codec.TypeFetch, 0),
		"too long":     codec.AppendFrameHead(nil, codec.TypeEnd, 1<<20),
		"bad End":      append(codec.AppendFrameHead(nil, codec.TypeEnd, 1), 0xff),
		"bad Blocks":   append(codec.AppendFrameHead(nil, codec.TypeBlocks, 1), 0xff),
		"bad offer":    append(codec.AppendFrameHead(nil, codec.TypeAvailabilityReply, 1), 0xff),
		"end of bytes": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newFetching(t)
				x.send(fetchOf(1, 0, 1))
				s := x.stream(0)
				if bytes == nil {
					require.NoError(t, s.Close())
				}
				_, err := s.Write(bytes)
				require.NoError(t, err)
				synctest.Wait()
				resets := ofType[streamReset](x.coord.take())
				require.Len(t, resets, 1)
				require.Equal(t, uint64(1), resets[0].lease)
				require.Error(t, resets[0].err)
				require.True(t, s.broken())
			})
		})
	}
}

// A coordinator that does not keep up holds the stream, not memory.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		x.send(fetchOf(1, 0, 1000))
		s := x.stream(0)
		for n := range uint64(1000) {
			write(s, &codec.Blocks{Lease: 1, Number: n, Data: make([]byte, 10<<10)})
		}
		synctest.Wait()
		blocks := ofType[blockArrived](x.coord.take())
		require.Len(t, blocks, connTokens)
		for _, b := range blocks[:10] {
			b.done()
		}
		synctest.Wait()
		more := ofType[blockArrived](x.coord.take())
		require.Len(t, more, 10)
		for _, b := range append(blocks[10:], more...) {
			b.done()
		}
		for n := connTokens + 10; n < 1000; {
			synctest.Wait()
			for _, b := range ofType[blockArrived](x.coord.take()) {
				require.Equal(t, uint64(n), b.block.Number)
				b.done()
				n++
			}
		}
	})
}

// An offer that was asked for comes through, busy or idle.
func TestAskWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		x.send(ask{codec.AvailabilityRequest{Nonce: 9, Requester: self}}, fetchOf(1, 0, 1))
		s := x.stream(0)
		require.Equal(t, codec.TypeAvailabilityRequest, x.read(s))
		x.answer(s, &codec.AvailabilityReply{Nonce: 9, Head: codec.Head{Root: codec.EmptyRoot()}})
		offers := ofType[offered](x.coord.take())
		require.Len(t, offers, 1)
		require.Equal(t, codec.PeerID("peer"), offers[0].peer)
		offers[0].done()
	})
}

// A stream that opens while the fetcher stops is reset.
func TestStopWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newFetching(t)
		now := x.net.open
		x.net.open = func(ctx context.Context, to codec.PeerID) (Stream, error) {
			<-ctx.Done() // and succeeds nevertheless
			return now(ctx, to)
		}
		x.send(fetchOf(1, 0, 1))
		require.NoError(t, x.system.Root.StopFuture(x.pid).Wait())
		synctest.Wait()
		require.True(t, x.stream(0).broken())
	})
}
