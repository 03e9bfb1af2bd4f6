package actors

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// serving is a provider on a ledger in memory that holds a log. It lives in a
// bubble.
type serving struct {
	t       *testing.T
	system  *actor.ActorSystem
	ledger  *ledger.Ledger
	log     *testLog
	pid     *actor.PID
	p       *provider
	last    uint64
	members map[codec.PeerID]bool
}

func newServing(t *testing.T, log *testLog, rate int64) *serving {
	t.Helper()
	x := &serving{t: t, system: testSystem(t), ledger: openLedger(t, self), log: log, members: map[codec.PeerID]bool{}}
	require.NoError(t, x.ledger.Release(0, log.blocks))
	x.p = &provider{
		ledger: x.ledger, clock: SystemClock{}, log: discard(), sessions: map[uint64]*session{},
		member: func(p codec.PeerID) bool { return x.members[p] },
		offer: func(req codec.AvailabilityRequest) codec.AvailabilityReply {
			head := x.ledger.Head()
			return codec.AvailabilityReply{Nonce: req.Nonce, Head: head, Held: []codec.BlockRange{{To: head.Blocks}}}
		},
	}
	x.p.bucket.setRate(time.Now(), rate)
	x.pid = spawn(x.system, witness{x.p})
	t.Cleanup(func() {
		stopActor(t, x.system, x.pid)
		synctest.Wait()
		require.NoError(t, x.ledger.Close())
	})
	return x
}

// requester is the other end of a session.
type requester struct {
	t *testing.T
	*memStream
	id   uint64
	gone chan struct{}
}

// connect opens a session whose stream buffers limit bytes, and reads the offer.
func (x *serving) connect(peer codec.PeerID, limit int) *requester {
	x.t.Helper()
	ours, theirs := streamPair(limit)
	x.last++
	w := &watchedStream{Stream: theirs, gone: make(chan struct{})}
	x.system.Root.Send(x.pid, sessionOpened{id: x.last, peer: peer, stream: w})
	synctest.Wait()
	r := &requester{t: x.t, memStream: ours, id: x.last, gone: w.gone}
	require.IsType(x.t, &codec.AvailabilityReply{}, r.next())
	return r
}

// next is the next message that comes.
func (r *requester) next() codec.Message {
	r.t.Helper()
	kind, body, err := codec.ReadFrame(r, nil, fetcherFrames...)
	require.NoError(r.t, err)
	var m codec.Message
	switch kind {
	case codec.TypeBlocks:
		b, err := codec.DecodeBlocks(body)
		require.NoError(r.t, err)
		return &b
	case codec.TypeEnd:
		m = &codec.End{}
	case codec.TypeLeaves:
		m = &codec.Leaves{}
	default:
		m = &codec.AvailabilityReply{}
	}
	require.NoError(r.t, codec.Decode(body, m))
	return m
}

// tell writes messages and waits until they were handled.
func (r *requester) tell(messages ...codec.Message) {
	for _, m := range messages {
		write(r, m)
	}
	synctest.Wait()
}

// lease reads a whole lease: the numbers of its blocks, whose bytes are the
// log's, and its End.
func (x *serving) lease(r *requester) (numbers []uint64, end *codec.End) {
	x.t.Helper()
	for {
		switch m := r.next().(type) {
		case *codec.Blocks:
			require.Equal(x.t, x.log.blocks[m.Number], m.Data)
			numbers = append(numbers, m.Number)
		case *codec.End:
			return numbers, m
		}
	}
}

func wants(pairs ...uint64) (out []codec.WantRange) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, codec.WantRange{From: pairs[i], To: pairs[i+1]})
	}
	return out
}

func TestServeInListOrder(t *testing.T) {
	log := newLog(t, 40, 100, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 1<<20)
		r.tell(&codec.Fetch{Lease: 5, Ranges: wants(30, 32, 0, 3, 31, 32)})
		numbers, end := x.lease(r)
		require.Equal(t, []uint64{30, 31, 0, 1, 2, 31}, numbers)
		require.Equal(t, codec.EndDone, end.Reason)
		require.Equal(t, uint64(5), end.Lease)
		require.Equal(t, uint64(6), end.Sent)
		require.Equal(t, uint64(31), end.Last)
		require.Equal(t, x.ledger.Head(), end.Head)
		r.tell(&codec.Fetch{Lease: 6, Ranges: wants(38, 42)})
		numbers, end = x.lease(r)
		require.Equal(t, []uint64{38, 39}, numbers)
		require.Equal(t, codec.EndUnavailable, end.Reason)
	})
}

// Extend, Trim and Cancel act on what was not handed to the stream yet.
func TestServeChanges(t *testing.T) {
	log := newLog(t, 40, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 1) // one block, then nothing for a long time
		r := x.connect("peer", 1<<20)
		fast := func() { x.system.Root.Send(x.pid, rateChanged{0}); synctest.Wait() }
		slow := func() { x.system.Root.Send(x.pid, rateChanged{1}); synctest.Wait() }

		r.tell(&codec.Fetch{Lease: 1, Ranges: wants(0, 2)}, &codec.Extend{Lease: 1, Seq: 1, Ranges: wants(10, 12)},
			&codec.Extend{Lease: 9, Seq: 1, Ranges: wants(30, 31)})
		fast()
		numbers, end := x.lease(r)
		require.Equal(t, []uint64{0, 1, 10, 11}, numbers)
		require.Equal(t, uint64(1), end.Seq)

		slow()
		r.tell(&codec.Fetch{Lease: 2, Ranges: wants(0, 4, 20, 24)}, &codec.Trim{Lease: 2, Seq: 1, Place: 5})
		fast()
		numbers, end = x.lease(r)
		require.Equal(t, []uint64{0, 1, 2, 3, 20}, numbers)
		require.Equal(t, codec.EndTrimmed, end.Reason)

		slow()
		r.tell(&codec.Fetch{Lease: 3, Ranges: wants(0, 4)}, &codec.Trim{Lease: 3, Seq: 1, Place: 0})
		fast()
		numbers, end = x.lease(r)
		require.LessOrEqual(t, len(numbers), 1, "what was handed to the stream is not taken back")
		require.Equal(t, codec.EndTrimmed, end.Reason)

		slow()
		r.tell(&codec.Fetch{Lease: 4, Ranges: wants(0, 40)}, &codec.Cancel{Lease: 4}, &codec.Cancel{Lease: 4})
		numbers, end = x.lease(r)
		require.LessOrEqual(t, len(numbers), 1)
		require.Equal(t, codec.EndCancelled, end.Reason)
		require.Zero(t, r.waiting(), "one End")
	})
}

// A lease whose list is handed over stays open until it is written, so that an
// Extend comes in time.
func TestServeExtendBeforeWritten(t *testing.T) {
	log := newLog(t, 40, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 1000)
		r.tell(&codec.Fetch{Lease: 1, Ranges: wants(0, 2)})
		r.tell(&codec.Extend{Lease: 1, Seq: 1, Ranges: wants(2, 4)})
		numbers, end := x.lease(r)
		require.Equal(t, []uint64{0, 1, 2, 3}, numbers)
		require.Equal(t, uint64(1), end.Seq)
		require.Equal(t, codec.EndDone, end.Reason)
	})
}

// Nonsense is refused by an End that names its lease.
func TestServeRefuses(t *testing.T) {
	log := newLog(t, 4, 100, "a")
	for name, c := range map[string]struct {
		tell []codec.Message
		ends []uint64 // leases that are refused
	}{
		"a Fetch on an open lease":      {[]codec.Message{&codec.Fetch{Lease: 2, Ranges: wants(0, 4)}, &codec.Fetch{Lease: 3, Ranges: wants(0, 1)}}, []uint64{2, 3}},
		"the same lease again":          {[]codec.Message{&codec.Fetch{Lease: 2, Ranges: wants(0, 4)}, &codec.Fetch{Lease: 2, Ranges: wants(0, 1)}}, []uint64{2}},
		"a number that was used":        {[]codec.Message{&codec.Fetch{Lease: 9, Ranges: wants(0, 4)}, &codec.Cancel{Lease: 9}, &codec.Fetch{Lease: 8, Ranges: wants(0, 1)}}, []uint64{8}},
		"a gap before Extend":           {[]codec.Message{&codec.Fetch{Lease: 2, Ranges: wants(0, 4)}, &codec.Extend{Lease: 2, Seq: 2, Ranges: wants(0, 1)}}, []uint64{2}},
		"a Trim with a number twice":    {[]codec.Message{&codec.Fetch{Lease: 2, Ranges: wants(0, 4)}, &codec.Extend{Lease: 2, Seq: 1, Ranges: wants(0, 1)}, &codec.Trim{Lease: 2, Seq: 1, Place: 3}}, []uint64{2}},
		"leaves of no tree":             {[]codec.Message{&codec.Fetch{Lease: 2, Leaves: true, Ranges: wants(0, 1<<50)}}, nil},
		"leaves of what is proved":      {[]codec.Message{&codec.Fetch{Lease: 2, Tree: 4, Leaves: true, Ranges: []codec.WantRange{{To: 1 << 50, Proved: true}}}}, nil},
		"a tree larger than ours":       {[]codec.Message{&codec.Fetch{Lease: 2, Tree: 5, Ranges: wants(0, 1)}}, nil},
		"blocks far beyond what exists": {[]codec.Message{&codec.Fetch{Lease: 2, Ranges: wants(1<<40, 1<<50)}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newServing(t, log, 1)
				x.p.bucket.take(1 << 20) // nothing is served at first
				r := x.connect("peer", 1<<20)
				r.tell(c.tell...)
				x.system.Root.Send(x.pid, rateChanged{0})
				synctest.Wait()
				var refused []uint64
				for r.waiting() > 0 {
					if end, ok := r.next().(*codec.End); ok && end.Reason == codec.EndRefused {
						refused = append(refused, end.Lease)
					}
				}
				require.Equal(t, c.ends, refused)
				r.tell(&codec.Fetch{Lease: 20, Ranges: wants(0, 4)})
				numbers, end := x.lease(r)
				require.Len(t, numbers, 4, "the session goes on")
				require.Equal(t, codec.EndDone, end.Reason)
			})
		})
	}
}

// What is no frame, or one that only a provider sends, ends the session.
func TestServeBadFrames(t *testing.T) {
	log := newLog(t, 4, 100, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		for i, bytes := range [][]byte{{1, 2, 3, 4, 5, 6}, codec.AppendFrameHead(nil, codec.TypeEnd, 0), codec.AppendFrameHead(nil, codec.TypeFetch, 1<<30)} {
			r := x.connect(codec.PeerID(fmt.Sprint(i)), 1<<20)
			_, err := r.Write(bytes)
			require.NoError(t, err)
			<-r.gone
		}
		synctest.Wait()
		require.Empty(t, x.p.order)
	})
}

// 16 sessions are served, 4 of them to strangers. Who is one too many is told
// when to come again, and served as soon as another has left.
func TestServeLimits(t *testing.T) {
	log := newLog(t, 4, 100, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		reason := func(r *requester, lease uint64) codec.EndReason {
			r.tell(&codec.Fetch{Lease: lease, Ranges: wants(0, 1)})
			_, end := x.lease(r)
			require.Equal(t, end.Reason == codec.EndBusy, end.RetryAfter == uint64(busyRetry.Milliseconds()))
			return end.Reason
		}
		var strangers, mine []*requester
		for i := range 5 {
			strangers = append(strangers, x.connect(codec.PeerID(fmt.Sprint("stranger-", i)), 1<<20))
		}
		for i := range 13 {
			peer := codec.PeerID(fmt.Sprint("member-", i))
			x.members[peer] = true
			mine = append(mine, x.connect(peer, 1<<20))
		}
		for i, r := range strangers {
			require.Equal(t, i == 4, reason(r, 1) == codec.EndBusy, "stranger %d", i)
		}
		for i, r := range mine {
			require.Equal(t, i == 12, reason(r, 1) == codec.EndBusy, "member %d", i)
		}
		require.NoError(t, mine[0].Reset())
		synctest.Wait()
		require.Equal(t, codec.EndBusy, reason(strangers[4], 2), "the place is a member's")
		require.Equal(t, codec.EndDone, reason(mine[12], 2))
		require.NoError(t, strangers[0].Reset())
		synctest.Wait()
		require.Equal(t, codec.EndDone, reason(strangers[4], 3))
	})
}

func TestSecondStreamReplacesFirst(t *testing.T) {
	log := newLog(t, 4, 100, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		first := x.connect("peer", 1<<20)
		second := x.connect("peer", 1<<20)
		<-first.gone
		require.True(t, first.broken())
		second.tell(&codec.Fetch{Lease: 1, Ranges: wants(0, 4)})
		numbers, _ := x.lease(second)
		require.Len(t, numbers, 4)
		require.Len(t, x.p.order, 1)
	})
}

// drain reads blocks for d and returns their bytes; the lease begins again and
// again.
func (r *requester) drain(d time.Duration) (bytes int64) {
	in := frames(r, fetcherFrames...)
	end := time.After(d)
	lease := uint64(0)
	for {
		lease++
		write(r, &codec.Fetch{Lease: lease, Ranges: wants(0, 40)})
		for open := true; open; {
			select {
			case f := <-in:
				bytes += int64(len(f.body))
				open = f.kind != codec.TypeEnd
			case <-end:
				return bytes
			}
		}
	}
}

// The byte rate holds over 10 s, and two sessions share it.
func TestServeRate(t *testing.T) {
	log := newLog(t, 40, 2000, "a")
	const rate = 8 << 20
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, rate)
		r := x.connect("peer", 1<<20)
		require.InEpsilon(t, 10*rate, r.drain(10*time.Second), 0.03)
		require.NoError(t, r.Reset())
		synctest.Wait()

		shares := make(chan int64)
		for _, peer := range []codec.PeerID{"one", "two"} {
			r := x.connect(peer, 1<<20)
			go func() {
				n := r.drain(10 * time.Second)
				_ = r.Reset()
				shares <- n
			}()
		}
		a, b := <-shares, <-shares
		require.InEpsilon(t, 10*rate, a+b, 0.03)
		require.InEpsilon(t, a, b, 0.03)
	})
}

// A rate that was raised holds at once, whatever the old one owed.
func TestServeRateRaised(t *testing.T) {
	log := newLog(t, 40, 2000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 1000)
		r := x.connect("peer", 1<<20)
		r.tell(&codec.Fetch{Lease: 1, Ranges: wants(0, 40)})
		time.Sleep(time.Second)
		x.system.Root.Send(x.pid, rateChanged{1 << 20})
		begun := time.Now()
		x.lease(r)
		require.InDelta(t, float64(log.bytes(40))/(1<<20), time.Since(begun).Seconds(), 1)
	})
}

// A peer that never reads holds a bounded number of bytes, and is cut off.
func TestServeNobodyReads(t *testing.T) {
	log := newLog(t, 100, 2000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 64<<10)
		r.tell(&codec.Fetch{Lease: 1, Ranges: wants(0, 100)})
		s := x.p.sessions[r.id]
		require.Greater(t, s.unsent, int64(0))
		require.LessOrEqual(t, s.unsent, int64(minUnsent+codec.MaxBlock))
		x.system.Root.Send(x.pid, refilled{}) // what the actor does next comes after the look at it
		time.Sleep(connWriteTimeout + time.Second)
		<-r.gone
		synctest.Wait()
		require.Empty(t, x.p.order)
	})
}

// An Extend that comes while the last blocks of the list are still in the stream
// goes on with the lease.
func TestServeExtendOfADrainedList(t *testing.T) {
	log := newLog(t, 4, 2000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 64<<10)
		r.tell(&codec.Fetch{Lease: 1, Ranges: wants(0, 1)})
		r.tell(&codec.Extend{Lease: 1, Seq: 1, Ranges: wants(1, 3)})
		got, end := x.lease(r)
		require.Equal(t, []uint64{0, 1, 2}, got)
		require.Equal(t, uint64(1), end.Seq)
	})
}

// A peer that asks and asks without reading is cut off.
func TestServeNobodyReadsAnswers(t *testing.T) {
	log := newLog(t, 4, 100, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 1<<10)
		for range connQueue + 20 {
			write(r, &codec.AvailabilityRequest{Nonce: 1, Requester: "peer"})
		}
		<-r.gone
		synctest.Wait()
		require.Empty(t, x.p.order)
	})
}

// A session that says nothing for long is ended.
func TestServeIdle(t *testing.T) {
	log := newLog(t, 4, 100, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 1<<20)
		time.Sleep(sessionIdle - time.Second)
		r.tell(&codec.AvailabilityRequest{Nonce: 1, Requester: "peer"})
		time.Sleep(sessionIdle - time.Second)
		require.False(t, r.broken())
		time.Sleep(2 * time.Second)
		<-r.gone
	})
}

// Leaves come before the first block of each group that is not proved yet, and
// prove it; a lease for leaves only gets as many as it asks for.
func TestServeLeaves(t *testing.T) {
	log := newLog(t, 110, 100, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newServing(t, log, 0)
		r := x.connect("peer", 4<<20)
		const tree = 101
		root, err := x.ledger.RootAt(tree)
		require.NoError(t, err)
		require.Equal(t, log.tree[tree], root)
		prove := func(m *codec.Leaves) {
			got, err := codec.ProvedRoot(tree, m.Group*codec.ProofGroup, m.Left, m.Leaves, m.Right)
			require.NoError(t, err)
			require.Equal(t, root, got)
			for i, leaf := range m.Leaves {
				require.Equal(t, codec.Leaf(log.blocks[int(m.Group)*codec.ProofGroup+i]), leaf)
			}
		}
		r.tell(&codec.Fetch{Lease: 1, Tree: tree, Ranges: []codec.WantRange{{From: 30, To: 34}, {From: 64, To: 66, Proved: true}, {From: 99, To: 101}}})
		var got []string
		for {
			switch m := r.next().(type) {
			case *codec.Leaves:
				prove(m)
				got = append(got, fmt.Sprint("leaves ", m.Group))
				continue
			case *codec.Blocks:
				got = append(got, fmt.Sprint(m.Number))
				continue
			}
			break
		}
		require.Equal(t, []string{"leaves 0", "30", "31", "leaves 1", "32", "33", "64", "65", "leaves 3", "99", "100"}, got)

		r.tell(&codec.Fetch{Lease: 2, Tree: tree, Leaves: true, Ranges: wants(0, tree)})
		for group := range uint64(4) {
			m := r.next().(*codec.Leaves)
			require.Equal(t, group, m.Group)
			prove(m)
		}
		end := r.next().(*codec.End)
		require.Equal(t, codec.EndDone, end.Reason)
		require.Zero(t, end.Sent)
	})
}
