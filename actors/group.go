package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/replay"
	"github.com/logmesh/logmesh/machine"
)

// Config says what the actors of a group work on.
type Config struct {
	Self    codec.PeerID
	Group   codec.GroupID
	Ledger  *ledger.Ledger // closed by the owner after Done
	Machine machine.Machine
	Trust   codec.SizedRoot // pinned by hand for catch-up; 0 blocks: none
	Role    codec.Role      // RoleVoter or RoleStandby: take part; RoleObserver: only follow
	Addrs   func() []string // where other members reach this node, without /p2p

	ServeRate   int64         // bytes a second to catching-up peers; 0: no limit
	Plain       bool          // blocks are never wanted compressed
	Tick        time.Duration // d: 100 ms
	ReplaceDead time.Duration // d: 60 s
	Clock       Clock         // d: SystemClock
	Random      func([]byte)  // fills with random bytes
	Logger      *slog.Logger
}

// Found makes the ledger that of a new group: entry 1 names this node as its
// only voter.
func Found(l *ledger.Ledger, self codec.PeerID, addrs []string, target int, nonce [codec.FoundingNonce]byte) error {
	e, err := consensus.Founding(l.RaftID(), codec.ConfigContext{
		Peer: self, Role: codec.RoleVoter, Addrs: addrs, Nonce: nonce[:], Target: target,
	})
	if err != nil {
		return err
	}
	return l.Found(e)
}

// Fold applies a configuration entry; it is what the ledger is opened with.
func Fold(c codec.Configuration, e codec.Entry) (codec.Configuration, error) {
	return consensus.Fold(c, e)
}

// Group is one group at work. Start it once, Close it once.
type Group struct {
	cfg        Config
	log        *slog.Logger
	network    Network
	system     *actor.ActorSystem
	client     *client
	clientDone chan struct{}
	reads      readBatch
	reign      reign // of the leader that the view shows
	ctx        context.Context
	cancel     context.CancelFunc
	done       chan struct{}
	up         chan struct{} // closed when Start has returned
	started    atomic.Bool   // as up, for those who do not wait

	super, consensus, coordinator, replay, provider, storer *actor.PID

	raft       *raftActor
	replayer   *replayer
	coord      *coordinator
	ticking    atomic.Bool   // a tick is in the mailbox
	raftCredit chan struct{} // taken by what came on a Raft stream until it was handled
	offers     chan struct{} // taken by offers until they were handled
	calls      chan struct{}
	sessions   atomic.Uint64
	rate       atomic.Int64
	leaving    atomic.Bool // Leave asks
	left       atomic.Bool // and was removed

	mu       sync.Mutex
	boot     map[codec.PeerID]bool // bonded peers that this node was told to join
	err      error
	starting bool
}

// New makes a group that does nothing yet but can already be given to the
// network as its handler.
func New(cfg Config) *Group {
	if cfg.Clock == nil {
		cfg.Clock = SystemClock{}
	}
	if cfg.Tick == 0 {
		cfg.Tick = 100 * time.Millisecond
	}
	if cfg.ReplaceDead == 0 {
		cfg.ReplaceDead = time.Minute
	}
	g := &Group{
		cfg: cfg, log: cfg.Logger, boot: map[codec.PeerID]bool{}, done: make(chan struct{}), up: make(chan struct{}),
		raftCredit: make(chan struct{}, maxRaft), offers: make(chan struct{}, maxOffers), calls: make(chan struct{}, MaxCalls),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.rate.Store(cfg.ServeRate)
	return g
}

// supervisor is the parent of all actors of a group.
type supervisor struct{ start func(actor.Context) }

func (s supervisor) Receive(ctx actor.Context) {
	if _, ok := ctx.Message().(*actor.Started); ok {
		s.start(ctx)
	}
}

// Start starts the actors. Messages that the handler got before are dropped.
func (g *Group) Start(n Network) {
	g.mu.Lock()
	g.starting = true
	g.mu.Unlock()
	g.network = n
	g.system = newSystem(g.log)
	g.client = newClient(g.propose, g.cfg.Clock, func() (nonce [codec.OpenNonce]byte) {
		g.cfg.Random(nonce[:])
		return nonce
	}, g.log)
	ready := make(chan struct{})
	props := actor.PropsFromProducer(func() actor.Actor {
		return supervisor{func(ctx actor.Context) { g.spawn(ctx); close(ready) }}
	}, actor.WithSupervisor(supervision{fail: g.fail}))
	g.super = g.system.Root.Spawn(props)
	<-ready
	g.clientDone = make(chan struct{})
	go func() {
		defer close(g.clientDone)
		g.client.run(g.ctx)
	}()
	g.started.Store(true)
	close(g.up)
	g.tickOn()
}

func (g *Group) spawn(ctx actor.Context) {
	g.replayer = &replayer{
		core: replay.New(g.cfg.Machine), ledger: g.cfg.Ledger, clock: g.cfg.Clock, log: g.log, fail: g.fail, result: g.client.deliver,
	}
	g.replay = g.child(ctx, "replay", g.replayer)
	g.storer = g.child(ctx, "storer", &storer{ledger: g.cfg.Ledger, replay: g.replay, credit: &g.replayer.credit, fail: g.fail})
	p := &provider{
		ledger: g.cfg.Ledger, clock: g.cfg.Clock, log: g.log, offer: g.offer, member: g.isMember, sessions: map[uint64]*session{},
	}
	p.bucket.setRate(g.cfg.Clock.Now(), g.cfg.ServeRate)
	g.provider = g.child(ctx, "provider", p)
	g.coord = &coordinator{
		self: g.cfg.Self, group: g.cfg.Group, ledger: g.cfg.Ledger, network: g.network, clock: g.cfg.Clock, log: g.log,
		storer: g.storer, fail: g.fail, nonce: g.nonce, trusted: g.isTrusted, trust: g.cfg.Trust, plain: g.cfg.Plain, ctx: g.ctx,
	}
	g.coordinator = g.child(ctx, "coordinator", g.coord, actor.WithSupervisor(supervision{fail: g.fail, gone: g.fetcherGone}))
	saver := g.child(ctx, "saver", &saver{ledger: g.cfg.Ledger, fail: g.fail})
	g.raft = &raftActor{
		self: g.cfg.Self, role: g.cfg.Role, addrs: g.cfg.Addrs, ledger: g.cfg.Ledger, network: g.network, clock: g.cfg.Clock,
		log: g.log, replay: g.replay, saver: saver, replayV: g.replayer.view.Load, credit: &g.replayer.credit, coord: g.coordinator,
		fail: g.fail, tickD: g.cfg.Tick, dead: g.cfg.ReplaceDead, ctx: g.ctx, onView: g.leaderChanged,
	}
	g.consensus = g.child(ctx, "consensus", g.raft)
}

func (g *Group) child(ctx actor.Context, name string, a actor.Actor, opts ...actor.PropsOption) *actor.PID {
	pid, err := ctx.SpawnNamed(actor.PropsFromProducer(func() actor.Actor { return witness{a} }, opts...), ctx.Self().Id+"/"+name)
	if err != nil {
		panic("actor " + name + ": " + err.Error()) // names are distinct constants
	}
	return pid
}

func (g *Group) nonce() uint64 {
	var b [8]byte
	g.cfg.Random(b[:])
	n := uint64(0)
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n | 1 // 0 means none
}

// tickOn sends a tick every Config.Tick, but never a second one while the first
// still waits.
func (g *Group) tickOn() {
	g.cfg.Clock.AfterFunc(g.cfg.Tick, func() {
		if g.ctx.Err() != nil {
			return
		}
		if g.ticking.CompareAndSwap(false, true) {
			g.send(func() *actor.PID { return g.consensus }, tick{func() { g.ticking.Store(false) }})
		}
		g.tickOn()
	})
}

// send drops m when the group has not started or has stopped.
func (g *Group) send(to func() *actor.PID, m any) bool {
	if !g.started.Load() || g.ctx.Err() != nil {
		return false
	}
	g.system.Root.Send(to(), m)
	return true
}

func (g *Group) leaderChanged(v *consensusView) {
	g.log.Debug("leader changed", "leader", v.leader, "term", v.status.Term)
	g.reign.over()
	g.system.Root.Send(g.coordinator, leaderSeen{v.leader})
	g.client.repropose()
}

// fail stops the group because of err. The first error stays.
func (g *Group) fail(err error) {
	g.mu.Lock()
	first := g.err == nil && g.ctx.Err() == nil
	left := g.leaving.Load() && errors.Is(err, ErrRemoved)
	if first && !left {
		g.err = err
	}
	g.mu.Unlock()
	if !first {
		return
	}
	if left {
		g.left.Store(true)
		go g.stop()
		return
	}
	var lost *consensus.LostEntriesError
	if errors.As(err, &lost) { // also a later start must not vote
		g.cfg.Ledger.GiveUp(err)
	}
	g.log.Error("the group stops on this node", append([]any{"err", err}, stackOf(err)...)...)
	go g.stop()
}

// stackOf is where the panic was that err tells of, as attributes for the log.
func stackOf(err error) []any {
	var (
		inMachine *replay.PanicError
		inActor   *PanicError
	)
	switch {
	case errors.As(err, &inMachine):
		return []any{"stack", string(inMachine.Stack)}
	case errors.As(err, &inActor):
		return []any{"stack", string(inActor.Stack)}
	}
	return nil
}

// fetcherGone: a fetcher panicked. Its peer counts as gone until it offers again.
func (g *Group) fetcherGone(err error) {
	g.log.Error("a fetcher failed", append([]any{"err", err}, stackOf(err)...)...)
}

const (
	handOverTime  = time.Second            // for another to take over from a stopping leader
	handOverEvery = 100 * time.Millisecond // tries: a moment ago nobody may have been near enough
)

// Close stops the group on this node and waits until all its actors have
// stopped. A leader hands over first, if somebody can take it. Membership stays.
func (g *Group) Close() {
	if v := g.view(); v != nil && v.lead && v.config.Voters() > 1 {
		g.giveUpLead()
	}
	g.stop()
	<-g.done
}

// giveUpLead returns when another leads, or none took over in time.
func (g *Group) giveUpLead() {
	var tried time.Time
	for end := g.cfg.Clock.Now().Add(handOverTime); g.view().lead && g.ctx.Err() == nil; {
		now := g.cfg.Clock.Now()
		if !now.Before(end) {
			return
		}
		if now.Sub(tried) >= handOverEvery {
			g.send(func() *actor.PID { return g.consensus }, handOver{})
			tried = now
		}
		g.client.pause(g.ctx, g.cfg.Tick/10)
	}
}

func (g *Group) stop() {
	g.mu.Lock()
	begun := g.ctx.Err() != nil
	g.cancel()
	starting := g.starting
	g.mu.Unlock()
	if begun {
		return
	}
	if starting {
		<-g.up
		<-g.clientDone
		if err := g.system.Root.StopFuture(g.super).Wait(); err != nil {
			g.log.Warn("the actors did not stop in time", "err", err)
		}
		g.system.Shutdown()
	}
	close(g.done)
}

// Done is closed when the group has stopped, by Close or by an error.
func (g *Group) Done() <-chan struct{} { return g.done }

// Err is why the group stopped; nil while it runs and after Close.
func (g *Group) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// SetServeRate limits what is served to catching-up peers, in bytes a second;
// 0: no limit.
func (g *Group) SetServeRate(bytesPerSec int64) {
	g.rate.Store(bytesPerSec)
	g.send(func() *actor.PID { return g.provider }, rateChanged{bytesPerSec})
}

// Begin queues a command; Await its outcome.
func (g *Group) Begin(command []byte) (*Call, error) {
	if err := g.checkCommand(command); err != nil {
		return nil, err
	}
	return g.client.start(command)
}

// BeginIn queues a command in a place of a session that OpenSession opened, here
// or on any other member.
func (g *Group) BeginIn(s Slot, command []byte) (*Call, error) {
	if err := g.checkCommand(command); err != nil {
		return nil, err
	}
	return g.client.startIn(s, command)
}

func (g *Group) checkCommand(command []byte) error {
	if !g.started.Load() {
		return ErrStopped
	}
	if len(command) == 0 || len(command) > codec.MaxCommand {
		return fmt.Errorf("a command of %d bytes: 1 to %d are allowed", len(command), codec.MaxCommand)
	}
	return nil
}

// BeginSession queues the opening of a client session; its id is the Index of the
// outcome.
func (g *Group) BeginSession() (*Call, error) {
	if !g.started.Load() {
		return nil, ErrStopped
	}
	return g.client.startOpen()
}

// Await waits for the outcome of a call. When ctx ends first, maybe says
// whether the command may have been, or may yet be, applied.
func (g *Group) Await(ctx context.Context, call *Call) (o Outcome, maybe bool, err error) {
	select {
	case o := <-call.done:
		return o, false, nil
	case <-ctx.Done():
		maybe = g.client.abandon(call)
	}
	select {
	case o := <-call.done: // it came at the same time
		return o, false, nil
	default:
		return Outcome{}, maybe, ctx.Err()
	}
}

// propose hands commands to whoever leads.
func (g *Group) propose(ctx context.Context, m *codec.Propose) (codec.Answer, error) {
	return g.leaderCall(ctx, m)
}

// leaderCall asks whoever leads: ourselves without the network. It does not wait
// longer for one that is not the leader any more.
func (g *Group) leaderCall(ctx context.Context, m codec.Message) (codec.Answer, error) {
	ended := g.reign.now() // before the view is looked at, so that no change is missed
	v := g.view()
	if v != nil && v.lead {
		if a := g.Called(ctx, g.cfg.Self, m); a.Status != codec.CallNotLeader {
			return a, nil
		}
	}
	if v == nil || v.leader == "" || v.leader == g.cfg.Self {
		return codec.Answer{Status: codec.CallNotLeader}, nil
	}
	ctx, cancel := within(ctx, ended)
	defer cancel()
	return g.network.Call(ctx, v.leader, m)
}
