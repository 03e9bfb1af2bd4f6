package actors

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/replay"
)

// syncer is a coordinator with its fetchers, storer and replay on a ledger in
// memory, among fake peers. It lives in a bubble.
type syncer struct {
	t       *testing.T
	system  *actor.ActorSystem
	ledger  *ledger.Ledger
	machine *sumMachine
	replay  *replayer
	asker   *inbox
	coord   *coordinator
	pid     *actor.PID
	askerID *actor.PID
	super   *actor.PID
	net     *fakeNetwork
	peers   map[codec.PeerID]*fakePeer
	logs    logLines

	mu     sync.Mutex
	failed []error
	gone   []error // fetchers
}

func newSyncer(t *testing.T, peers ...*fakePeer) *syncer {
	t.Helper()
	return newSyncerOn(t, openLedger(t, self), peers...)
}

func newSyncerOn(t *testing.T, l *ledger.Ledger, peers ...*fakePeer) *syncer {
	t.Helper()
	x := &syncer{
		t: t, system: testSystem(t), ledger: l, machine: &sumMachine{}, asker: &inbox{}, peers: map[codec.PeerID]*fakePeer{},
	}
	x.net = &fakeNetwork{open: x.open, broadcast: x.broadcast}
	for _, p := range peers {
		x.peers[p.id] = p
		x.net.bonds = append(x.net.bonds, p.id)
	}
	x.replay = &replayer{
		core: replay.New(x.machine), ledger: x.ledger, clock: SystemClock{}, log: discard(), fail: x.fail, result: func(replay.Result) {},
	}
	nonce := uint64(0)
	x.coord = &coordinator{
		self: self, group: testGroup, ledger: x.ledger, network: x.net, clock: SystemClock{}, log: x.logs.logger(), fail: x.fail,
		nonce:   func() uint64 { nonce++; return nonce },
		trusted: func(codec.PeerID) bool { return true }, ctx: t.Context(),
	}
	x.net.call = x.call
	x.askerID = spawn(x.system, x.asker)
	ready := make(chan struct{})
	x.super = spawn(x.system, supervisor{func(ctx actor.Context) {
		replay := ctx.Spawn(actor.PropsFromProducer(func() actor.Actor { return x.replay }))
		x.coord.storer = ctx.Spawn(actor.PropsFromProducer(func() actor.Actor {
			return &storer{ledger: x.ledger, replay: replay, credit: &credit{}, fail: x.fail}
		}))
		x.pid = ctx.Spawn(actor.PropsFromProducer(func() actor.Actor { return x.coord }, actor.WithSupervisor(supervision{fail: x.fail, gone: x.fetcherGone})))
		close(ready)
	}})
	<-ready
	t.Cleanup(func() {
		stopActor(t, x.system, x.super)
		stopActor(t, x.system, x.askerID)
		require.NoError(t, x.ledger.Close())
	})
	return x
}

func (x *syncer) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed = append(x.failed, err)
}

func (x *syncer) fetcherGone(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.gone = append(x.gone, err)
}

// failure is why the group would have stopped.
func (x *syncer) failure() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.failed) == 0 {
		return nil
	}
	return x.failed[0]
}

func (x *syncer) open(_ context.Context, to codec.PeerID) (Stream, error) {
	p := x.peers[to]
	if p == nil {
		return nil, errNoNetwork
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shutDown {
		return nil, errNoNetwork
	}
	p.streams++
	ours, theirs := streamPair(1 << 20)
	go p.serve(theirs)
	return ours, nil
}

// call states that all peers are voters.
func (x *syncer) call(context.Context, codec.PeerID, codec.Message) (codec.Answer, error) {
	return votersAnswer(slices.Sorted(maps.Keys(x.peers))...), nil
}

// broadcast is answered by every peer, after a while.
func (x *syncer) broadcast(req codec.AvailabilityRequest) {
	for _, p := range x.peers {
		p.mu.Lock()
		down := p.shutDown
		p.mu.Unlock()
		if !down {
			time.AfterFunc(20*time.Millisecond, func() {
				x.send(offered{peer: p.id, reply: p.offer(req.Nonce, nil), done: func() {}})
			})
		}
	}
}

func (x *syncer) send(m any) { x.system.Root.Send(x.pid, m) }

// want begins a session.
func (x *syncer) want(w syncWanted) {
	w.reply = x.askerID
	x.send(w)
}

// done waits up to d for the answer, and reports what it was.
func (x *syncer) done(d time.Duration) (answered bool, err error) {
	x.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // in a bubble
		synctest.Wait()
		if answers := ofType[syncDone](x.asker.take()); len(answers) > 0 {
			require.Len(x.t, answers, 1)
			return true, answers[0].err
		}
	}
	return false, nil
}

// requireHas checks that ledger and machine have the log's first n blocks.
func (x *syncer) requireHas(log *testLog, n int) {
	x.t.Helper()
	require.Equal(x.t, log.head(n), x.ledger.Head())
	synctest.Wait()
	want := replay.New(&sumMachine{})
	last := int(log.ends[n-1].Index)
	require.NoError(x.t, want.Apply(log.entries[:last], nil))
	require.Equal(x.t, codec.Index(last), x.replay.view.Load().applied)
	require.Equal(x.t, want.Digest(), x.replay.view.Load().digest)
	for _, p := range x.peers {
		p.requireNoFaults(x.t)
	}
}

// requireDone waits up to d for a session that ends well, with the log's first n
// blocks.
func (x *syncer) requireDone(d time.Duration, log *testLog, n int) {
	x.t.Helper()
	answered, err := x.done(d)
	require.True(x.t, answered)
	require.NoError(x.t, err)
	x.requireHas(log, n)
}

// members are peers that have n blocks of a log; the first leads.
func members(log *testLog, count, n int) []*fakePeer {
	out := make([]*fakePeer, count)
	for i := range out {
		out[i] = &fakePeer{id: codec.PeerID(fmt.Sprint("peer-", i)), log: log, head: n, leader: i == 0, rate: 4 << 20}
	}
	return out
}

// A new node fetches a log from all peers, and ends with the same state.
func TestSyncFromAll(t *testing.T) {
	log := newLog(t, 200, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 4, 200)
		x := newSyncer(t, peers...)
		x.want(syncWanted{why: "test"})
		x.requireDone(time.Minute, log, 200)
		for _, p := range peers[1:] {
			require.Greater(t, p.served, 20, "blocks of %s", p.id)
		}
		v := x.coord.view.Load()
		require.True(t, v.finished)
		require.Equal(t, uint64(log.ends[199].Index), v.entries)
		require.Equal(t, uint64(log.bytes(200)), v.status.Bytes)
	})
}

// The blocks that were here before are of another history than the voters': found
// before anything is adopted, with the first block that differs.
func TestSyncOfAnotherHistory(t *testing.T) {
	log, other := newLog(t, 60, 1000, "a"), newLog(t, 60, 1000, "b")
	synctest.Test(t, func(t *testing.T) {
		x := newSyncer(t, members(log, 3, 60)...)
		require.NoError(t, x.ledger.Release(0, append(slices.Clone(log.blocks[:3]), other.blocks[3:5]...)))
		before := x.ledger.Head()
		x.want(syncWanted{why: "test"})
		answered, err := x.done(time.Minute)
		require.True(t, answered)
		var root *RootError
		require.ErrorAs(t, err, &root)
		require.Equal(t, uint64(60), root.Blocks)
		require.Equal(t, log.tree[60], root.Theirs)
		require.True(t, root.Found)
		require.Equal(t, uint64(3), root.First)
		require.ErrorIs(t, x.failure(), error(root))
		require.Equal(t, before, x.ledger.Head())
		x.want(syncWanted{why: "again"})
		answered, _ = x.done(time.Minute)
		require.False(t, answered, "no session begins while the group stops")
		require.Equal(t, before, x.ledger.Head())
	})
}

// A minority of the voters states other roots: nobody is misled, and the dispute
// is told.
func TestSyncLyingMinority(t *testing.T) {
	log, other := newLog(t, 60, 1000, "a"), newLog(t, 60, 1000, "b")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 5, 60)
		peers[3].rebel, peers[4].rebel = other, other
		x := newSyncer(t, peers...)
		x.want(syncWanted{why: "test"})
		x.requireDone(time.Minute, log, 60)
		require.Contains(t, x.logs.String(), "members hold different logs")
	})
}

// Nothing is fetched before a majority of the voters states one root.
func TestSyncWaitsForAMajority(t *testing.T) {
	log := newLog(t, 60, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 60)
		x := newSyncer(t, peers...)
		for _, p := range peers[1:] {
			p.set(func(p *fakePeer) { p.shutDown = true })
		}
		x.want(syncWanted{why: "test"})
		answered, err := x.done(2 * time.Minute)
		require.True(t, answered)
		var silent *AgreementError
		require.ErrorAs(t, err, &silent)
		require.ElementsMatch(t, []codec.PeerID{peers[1].id, peers[2].id}, silent.Silent)
		require.Zero(t, x.ledger.Head().Blocks)
		require.NoError(t, x.failure(), "a session that fails does not stop the group")

		peers[2].set(func(p *fakePeer) { p.shutDown = false })
		x.want(syncWanted{why: "test"})
		answered, err = x.done(time.Minute)
		require.True(t, answered)
		require.NoError(t, err)
		x.requireHas(log, 60)
	})
}

// A root that was pinned by hand needs no majority.
func TestSyncToATrustedRoot(t *testing.T) {
	log := newLog(t, 60, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 60)
		x := newSyncer(t, peers...)
		x.coord.trust = codec.SizedRoot{Blocks: 50, Root: log.tree[50]}
		for _, p := range peers[1:] {
			p.set(func(p *fakePeer) { p.shutDown = true })
		}
		x.want(syncWanted{why: "test", until: log.ends[49].Index})
		x.requireDone(time.Minute, log, 50)
	})
}

// One of two voters catches up from the other: nobody is silent, and yet a
// majority never states a root, so it counts itself after a while.
func TestSyncOfTwoVoters(t *testing.T) {
	log := newLog(t, 60, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 1, 60)
		x := newSyncer(t, peers...)
		x.net.call = func(context.Context, codec.PeerID, codec.Message) (codec.Answer, error) {
			return votersAnswer(self, peers[0].id), nil
		}
		x.want(syncWanted{why: "test"})
		x.requireDone(2*voterPatience, log, 60)
	})
}

// The leader dies while blocks are missing: the other voters go on.
func TestSyncLeaderDies(t *testing.T) {
	log := newLog(t, 120, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 120)
		x := newSyncer(t, peers...)
		x.want(syncWanted{why: "test"})
		for x.ledger.Head().Blocks < 40 {
			time.Sleep(5 * time.Millisecond)
		}
		peers[0].set(func(p *fakePeer) { p.shutDown, p.leader = true, false })
		x.net.bond(peers[1].id, peers[2].id)
		x.send(bondDown{peers[0].id})
		answered, err := x.done(time.Minute)
		require.True(t, answered)
		require.NoError(t, err)
		delete(x.peers, peers[0].id)
		x.requireHas(log, 120)
	})
}

// A peer whose leaves do not prove is out; the others take over.
func TestSyncForgedLeaves(t *testing.T) {
	log := newLog(t, 100, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 4, 100)
		peers[2].forge = true
		x := newSyncer(t, peers...)
		x.want(syncWanted{why: "test"})
		x.requireDone(time.Minute, log, 100)
		for _, p := range x.coord.view.Load().status.Peers {
			require.Equal(t, p.Peer == peers[2].id, p.State == "out", "%s is %s", p.Peer, p.State)
		}
	})
}

// A peer that serves a damaged block is out; the others take over.
func TestSyncDamagedBlocks(t *testing.T) {
	log := newLog(t, 100, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 4, 100)
		peers[2].flip = true
		x := newSyncer(t, peers...)
		x.want(syncWanted{why: "test"})
		x.requireDone(time.Minute, log, 100)
		for _, p := range x.coord.view.Load().status.Peers {
			require.Equal(t, p.Peer == peers[2].id, p.State == "out", "%s is %s", p.Peer, p.State)
		}
		require.Contains(t, x.logs.String(), "out for this catch-up")
		for _, p := range x.coord.view.Load().status.Peers {
			if p.Peer == peers[2].id {
				require.Equal(t, uint64(1), p.Failed)
				require.ErrorContains(t, p.Err, "does not prove")
			}
		}
	})
}

// A session at start that nobody answers ends by itself; that of a new node
// goes on until somebody comes.
func TestSyncNobodyAnswers(t *testing.T) {
	log := newLog(t, 10, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		x := newSyncer(t)
		begun := time.Now()
		x.want(syncWanted{why: "start", behind: 64})
		answered, err := x.done(time.Minute)
		require.True(t, answered)
		require.NoError(t, err)
		require.InDelta(t, probePatience.Seconds(), time.Since(begun).Seconds(), 1.5)
		require.Zero(t, x.ledger.Head().Blocks)

		x.want(syncWanted{why: "new"})
		answered, _ = x.done(20 * time.Second)
		require.False(t, answered)
		late := members(log, 1, 10)[0]
		x.peers[late.id] = late
		x.net.bond(late.id)
		x.send(bondUp{late.id})
		answered, err = x.done(5 * time.Second)
		require.True(t, answered)
		require.NoError(t, err)
		x.requireHas(log, 10)
	})
}

// A member at start leaves what is within Raft's reach to Raft.
func TestSyncNotFarBehind(t *testing.T) {
	log := newLog(t, 100, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 70)
		x := newSyncer(t, peers...)
		require.NoError(t, x.ledger.Release(0, log.blocks[:10]))
		x.want(syncWanted{why: "start", behind: 64})
		answered, err := x.done(10 * time.Second)
		require.True(t, answered)
		require.NoError(t, err)
		require.Equal(t, uint64(10), x.ledger.Head().Blocks)
		for _, p := range peers {
			p.set(func(p *fakePeer) { p.head = 100 })
		}
		x.want(syncWanted{why: "start", behind: 64})
		answered, err = x.done(10 * time.Second)
		require.True(t, answered)
		require.NoError(t, err)
		require.Equal(t, log.head(100), x.ledger.Head())
	})
}

// The log grows while a node catches up: the session goes on to where it stops,
// but for a few blocks that Raft ships.
func TestSyncMovingTarget(t *testing.T) {
	log := newLog(t, 300, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 100)
		x := newSyncer(t, peers...)
		x.want(syncWanted{why: "test"})
		for n := 100; n <= 300; n += 20 {
			time.Sleep(200 * time.Millisecond)
			for _, p := range peers {
				p.set(func(p *fakePeer) { p.head = n })
			}
		}
		answered, err := x.done(time.Minute)
		require.True(t, answered)
		require.NoError(t, err)
		have := int(x.ledger.Head().Blocks)
		require.GreaterOrEqual(t, have, 300-slack)
		x.requireHas(log, have)
	})
}

// A joiner that no gossip reaches knows one peer, which names the others.
func TestSyncWithoutGossip(t *testing.T) {
	log := newLog(t, 60, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 60)
		x := newSyncer(t, peers...)
		x.net.broadcast = nil
		x.net.bonds = []codec.PeerID{peers[0].id}
		x.net.open = func(ctx context.Context, to codec.PeerID) (Stream, error) {
			if !slices.Contains(x.net.Bonds(), to) {
				return nil, errNoNetwork
			}
			return x.open(ctx, to)
		}
		x.net.know = func(named []codec.Member) {
			for _, m := range named {
				x.net.bond(append(x.net.Bonds(), m.Peer)...)
				x.send(bondUp{m.Peer})
			}
		}
		x.want(syncWanted{why: "new"})
		answered, err := x.done(30 * time.Second)
		require.True(t, answered)
		require.NoError(t, err)
		x.requireHas(log, 60)
	})
}

// A session for a held snapshot ends when the ledger has reached its index, not
// before, also when it was widened while it ran.
func TestSyncUntil(t *testing.T) {
	log := newLog(t, 60, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 50)
		x := newSyncer(t, peers...)
		shut := func(down bool) {
			for _, p := range peers {
				p.set(func(p *fakePeer) { p.shutDown = down })
			}
		}
		shut(true) // else an offer may end the first before it is widened
		x.want(syncWanted{why: "start", behind: 64})
		x.want(syncWanted{why: "held snapshot", until: log.ends[54].Index})
		synctest.Wait()
		shut(false)
		answered, _ := x.done(20 * time.Second)
		require.False(t, answered, "no peer has that index yet")
		require.Equal(t, log.head(50), x.ledger.Head())
		streams := peers[0].get(func(p *fakePeer) int { return p.streams })
		require.Less(t, streams, 5, "it does not begin again and again")
		for _, p := range peers {
			p.set(func(p *fakePeer) { p.head = 57 })
		}
		x.requireDone(10*time.Second, log, 57)
	})
}

// A fetcher's panic drops its peer; the session goes on, and the peer is asked
// again.
func TestFetcherPanicDropsPeer(t *testing.T) {
	log := newLog(t, 100, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peers := members(log, 3, 100)
		x := newSyncer(t, peers...)
		x.want(syncWanted{why: "test"})
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		victim := x.coord.fetchers[peers[1].id]
		require.NotNil(t, victim)
		x.system.Root.Send(victim, streamFrame{gen: 99}) // without a done
		answered, err := x.done(time.Minute)
		require.True(t, answered)
		require.NoError(t, err)
		require.NoError(t, x.failure())
		require.Len(t, x.gone, 1)
		require.Contains(t, x.gone[0].Error(), "fetcher-")
		require.Greater(t, peers[1].streams, 1, "the peer is asked again")
		x.requireHas(log, 100)
	})
}
