package actors

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// lone is a group of one voter in memory. It lives in a bubble.
type lone struct {
	*Group
	t       *testing.T
	net     *fakeNetwork
	machine *sumMachine
	logs    logLines
}

// newLone starts a group on a ledger in memory: founded here, or empty.
func newLone(t *testing.T, founded bool, net *fakeNetwork) *lone {
	t.Helper()
	l := openLedger(t, self)
	if founded {
		require.NoError(t, Found(l, self, nil, 1, [codec.FoundingNonce]byte{1}))
	}
	return newLoneOn(t, l, net)
}

// newLoneOn starts a group on l, and closes l at the end.
func newLoneOn(t *testing.T, l *ledger.Ledger, net *fakeNetwork) *lone {
	t.Helper()
	x := &lone{t: t, net: net, machine: &sumMachine{}}
	x.Group = New(Config{
		Self: self, Group: testGroup, Ledger: l, Machine: x.machine, Role: codec.RoleVoter, Addrs: func() []string { return nil },
		Random: counting(0),
		Logger: x.logs.logger(),
	})
	x.Start(net)
	t.Cleanup(func() {
		x.Close()
		require.NoError(t, l.Close())
		time.Sleep(2 * time.Millisecond) // in a bubble: for the library's goroutine after a dead letter
	})
	return x
}

// counting fills with bytes that never repeat: its own number and how often it was
// called.
func counting(number byte) func([]byte) {
	var calls atomic.Uint64
	return func(b []byte) {
		n := calls.Add(1)
		for i := range b {
			b[i] = number ^ byte(n>>(8*(i%8)))
		}
	}
}

func (x *lone) context() context.Context {
	ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
	x.t.Cleanup(cancel)
	return ctx
}

func (x *lone) execute(command string) Outcome {
	x.t.Helper()
	call, err := x.Begin([]byte(command))
	require.NoError(x.t, err)
	o, _, err := x.Await(x.context(), call)
	require.NoError(x.t, err)
	require.NoError(x.t, o.Err)
	return o
}

func TestGroupOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		o := x.execute("a")
		require.Equal(t, "a", string(o.Data))
		data, at, err := x.Query(x.context(), []byte("q"), 0)
		require.NoError(t, err)
		require.Equal(t, "a", string(data))
		require.GreaterOrEqual(t, at, o.Index)

		next := x.View().Applied + 1
		answer := make(chan codec.Index)
		go func() {
			_, at, err := x.Query(x.context(), nil, next)
			require.NoError(t, err)
			answer <- at
		}()
		synctest.Wait()
		select {
		case <-answer:
			t.Fatal("a query waits until its index is applied")
		default:
		}
		require.Equal(t, next, x.execute("b").Index)
		require.Equal(t, next, <-answer)

		read, err := x.ReadIndex(x.context())
		require.NoError(t, err)
		require.Equal(t, next, read)
		require.NoError(t, x.Applied(x.context(), read))

		v := x.View()
		require.True(t, v.Open && v.Lead && v.Member)
		require.Equal(t, self, v.Leader)
		require.Equal(t, codec.RoleVoter, v.Role)
		require.Equal(t, next, v.Applied)
		require.Equal(t, x.machine.commands, 2)
	})
}

// What nobody waits for any more is forgotten.
func TestGroupForgetsWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		x.execute("a")
		for range 20 * minSweep {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _, err := x.Query(ctx, nil, 1<<40)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, x.Applied(ctx, 1<<40), context.Canceled)
		}
		synctest.Wait()
		require.LessOrEqual(t, len(x.replayer.waiting), 2*minSweep)
		require.LessOrEqual(t, len(x.replayer.waiters), 2*minSweep)
	})
}

// Reads that come while a question is under way share the next one, and none
// takes an answer that was asked for before it came.
func TestReadsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b readBatch
		var asks codec.Index // under way or answered; one goroutine asks
		answer := make(chan struct{})
		ask := func() (codec.Index, error) {
			asks++
			at := asks
			<-answer
			return at, nil
		}
		first := b.join(ask)
		synctest.Wait()
		var later []*readRound
		for range 500 {
			later = append(later, b.join(ask))
		}
		close(answer)
		synctest.Wait()
		require.EqualValues(t, 2, asks)
		require.EqualValues(t, 1, first.index)
		for _, r := range later {
			<-r.done
			require.EqualValues(t, 2, r.index)
		}
	})
}

// Strong reads of a group that leads alone are answered, however many come.
func TestReadsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		last := x.execute("a").Index
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				at, err := x.ReadIndex(x.context())
				require.NoError(t, err)
				require.GreaterOrEqual(t, at, last)
			})
		}
		all.Wait()
		synctest.Wait()
		require.Empty(t, x.raft.reads)
	})
}

// Close is prompt and answers everybody; it may come twice; afterwards
// everything says ErrStopped.
func TestGroupClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		x.execute("a")
		waits := make(chan error, 2)
		go func() {
			_, _, err := x.Query(x.context(), nil, 1<<40)
			waits <- err
		}()
		go func() { waits <- x.Applied(x.context(), 1<<40) }()
		synctest.Wait()
		begun := time.Now()
		x.Close()
		require.Less(t, time.Since(begun), time.Second)
		require.ErrorIs(t, <-waits, ErrStopped)
		require.ErrorIs(t, <-waits, ErrStopped)
		x.Close()
		<-x.Done()
		require.NoError(t, x.Err())

		_, err := x.Begin([]byte("late"))
		require.ErrorIs(t, err, ErrStopped)
		_, err = x.ReadIndex(x.context())
		require.ErrorIs(t, err, ErrStopped)
		_, _, err = x.Query(x.context(), nil, 0)
		require.ErrorIs(t, err, ErrStopped)
		require.ErrorIs(t, x.Applied(x.context(), 0), ErrStopped)
		require.Equal(t, codec.CallUnavailable, x.Called(x.context(), self, &codec.Members{}).Status)
		require.Nil(t, x.RaftReceived("peer", codec.RaftOpen{}, &codec.RaftBatch{}))
		_, stream := streamPair(1 << 10)
		x.ServeSync("peer", stream)
		require.True(t, stream.broken())
		x.Bonded("peer", codec.LogID{}, false)
		x.Unbonded("peer")
		x.AvailabilityReplied("peer", codec.AvailabilityReply{Nonce: 1})
		x.AvailabilityAsked(codec.AvailabilityRequest{Requester: "peer"})
		require.Equal(t, 1, x.machine.commands)
		_ = x.View()
	})
}

// Before Start the network may already call, and Close works.
func TestGroupNotStarted(t *testing.T) {
	l := openLedger(t, self)
	g := New(Config{Self: self, Group: testGroup, Ledger: l, Machine: &sumMachine{}, Logger: discard()})
	g.Bonded("peer", codec.LogID{}, false)
	g.AvailabilityReplied("peer", codec.AvailabilityReply{Nonce: 1})
	require.Equal(t, codec.CallUnavailable, g.Called(t.Context(), "peer", &codec.Members{}).Status)
	_, err := g.Begin([]byte("early"))
	require.ErrorIs(t, err, ErrStopped)
	_ = g.View()
	g.Close()
	<-g.Done()
	require.NoError(t, l.Close())
}

// A stopping group ends the sessions that it serves.
func TestCloseEndsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		ours, theirs := streamPair(1 << 20)
		served := make(chan struct{})
		go func() {
			x.ServeSync("peer", theirs)
			close(served)
		}()
		synctest.Wait()
		require.Greater(t, ours.waiting(), 0, "the offer")
		x.Close()
		<-served
		require.True(t, ours.broken())
	})
}

// Raft streams for or from somebody else are told so, or dropped.
func TestRaftStreamsAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		x.execute("a")
		mine := x.cfg.Ledger.RaftID()
		require.Equal(t, []codec.Message{&codec.NotMe{Asked: mine + 1, Mine: mine}},
			x.RaftReceived("peer", codec.RaftOpen{From: 5, To: mine + 1}, &codec.RaftBatch{}))
		require.Empty(t, x.RaftReceived("peer", codec.RaftOpen{From: mine, To: mine}, &codec.RaftBatch{}), "another member's id")
		synctest.Wait()
		require.Empty(t, x.raftCredit)
	})
}

// Consensus that does not keep up holds the streams' readers, the callers and
// the clock, not memory.
func TestMailboxesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, false, &fakeNetwork{}) // no leader: every sender is heard
		synctest.Wait()
		mine := x.cfg.Ledger.RaftID()
		proceed := make(chan struct{})
		x.system.Root.Send(x.consensus, tick{func() { <-proceed }}) // consensus stands still
		x.system.Root.Send(x.coordinator, offered{done: func() { <-proceed }})
		synctest.Wait()
		for range 3 * maxRaft {
			go x.RaftReceived("peer", codec.RaftOpen{From: 5, To: mine}, &codec.RaftBatch{})
			go x.RaftReceived("peer", codec.RaftOpen{From: 5, To: mine}, &codec.Progress{})
		}
		for range 2 * maxOffers {
			x.AvailabilityReplied("peer", codec.AvailabilityReply{Nonce: 1})
		}
		time.Sleep(10 * time.Second)
		require.Len(t, x.raftCredit, maxRaft)
		require.Len(t, x.offers, maxOffers)
		require.True(t, x.ticking.Load(), "one tick waits")
		close(proceed)
		synctest.Wait()
		require.Empty(t, x.raftCredit)
		require.Empty(t, x.offers)
	})
}

// A joiner whose session fails tries again, not in a loop.
func TestJoinerRetriesSlowly(t *testing.T) {
	log := newLog(t, 3, 1000, "a")
	log.blocks[0] = log.blocks[1] // the ledger refuses a log that does not begin at index 1
	synctest.Test(t, func(t *testing.T) {
		peer := members(log, 1, 3)[0]
		var (
			mu   sync.Mutex
			asks int
		)
		started := make(chan *lone) // gives the group to whoever answers it
		net := &fakeNetwork{bonds: []codec.PeerID{peer.id}}
		net.open = func(context.Context, codec.PeerID) (Stream, error) {
			ours, theirs := streamPair(1 << 20)
			go peer.serve(theirs)
			return ours, nil
		}
		net.broadcast = func(req codec.AvailabilityRequest) {
			mu.Lock()
			defer mu.Unlock()
			asks++
			time.AfterFunc(time.Millisecond, func() { (<-started).AvailabilityReplied(peer.id, peer.offer(req.Nonce, nil)) })
		}
		x := newLone(t, false, net)
		go func() {
			for {
				select {
				case started <- x:
				case <-t.Context().Done():
					return
				}
			}
		}()
		time.Sleep(20 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Greater(t, asks, 5)
		require.Less(t, asks, 50)
		require.Zero(t, x.View().Head.Blocks)
		require.NoError(t, x.Err())
	})
}

// votersAnswer states the voters of a group.
func votersAnswer(peers ...codec.PeerID) codec.Answer {
	c := codec.Configuration{Index: 1, Target: 3}
	for i, p := range peers {
		c.Members = append(c.Members, codec.Member{RaftID: codec.RaftID(i + 1), Peer: p, Role: codec.RoleVoter})
	}
	return codec.Answer{Status: codec.CallOK, Config: c}
}

// A joiner catches up, opens Raft where it stands, and asks to be added.
func TestJoinerAsksToBeAdded(t *testing.T) {
	log := newLog(t, 20, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peer := members(log, 1, 20)[0]
		joins := make(chan *codec.Join, 100)
		net := &fakeNetwork{bonds: []codec.PeerID{peer.id}}
		net.open = func(context.Context, codec.PeerID) (Stream, error) {
			ours, theirs := streamPair(1 << 20)
			go peer.serve(theirs)
			return ours, nil
		}
		net.call = func(_ context.Context, _ codec.PeerID, m codec.Message) (codec.Answer, error) {
			if j, ok := m.(*codec.Join); ok {
				joins <- j
				return codec.Answer{Status: codec.CallUnavailable}, nil
			}
			return votersAnswer(peer.id), nil
		}
		x := newLone(t, false, net)
		x.Bonded(peer.id, codec.LogID{}, true)
		a := x.Called(x.context(), "peer", &codec.Members{})
		require.Equal(t, codec.CallUnavailable, a.Status)
		j := <-joins
		require.Equal(t, log.ends[19], j.Cursor)
		require.Equal(t, codec.RoleStandby, j.Role)
		require.Equal(t, x.cfg.Ledger.RaftID(), j.RaftID)
		require.NoError(t, x.Applied(x.context(), log.ends[19].Index))
		require.Equal(t, fmt.Sprint(log.head(20)), fmt.Sprint(x.View().Head))
	})
}
