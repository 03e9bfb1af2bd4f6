package sim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/sim/disk"
)

var (
	errNoBond   = errors.New("no bond with the peer")
	errTimeout  = errors.New("no answer in time")
	errRemoved  = errors.New("this node was removed from the group")
	errNoLeader = errors.New("no leader answers")
)

// member is one node: a disk, and while it is up, what its actors are.
type member struct {
	w      *World
	number int
	peer   codec.PeerID
	wish   codec.Role // what it asks to join as
	dice   *rand.Rand

	disk    *disk.Disk
	salts   uint64 // directories so far
	removed bool   // the group does not have it any more
	leaving bool   // at its own wish
	wiped   bool   // it lost its directory, and was not started since
	broken  bool   // its disk was made to fail

	up     bool
	life   int // counts starts and stops: what was meant for an earlier life is dropped
	frozen int // as many pauses: what comes meanwhile waits
	queue  []func()

	crashAt   stage         // at which it crashes
	crashFor  time.Duration // then
	slowSync  time.Duration // what a sync takes more
	slowServe float64       // bytes a second that it serves; 0: as the link
	lies      bool          // it offers blocks that it does not have

	forgery forgery // in what it lies of its log; 0: it does not
	forged  bool    // it made up a block or its leaf

	// Made anew at each start.
	ledger   *disk.Ledger
	bonds    map[codec.PeerID]bool
	calls    int
	raft     *raftNode
	coord    *coordinator
	provider *provider
	replay   *replayer
	client   *proposer
	reads    *readBatch
}

// deliver lets f happen at the member, if it still is in that life; a paused
// member does it later.
func (m *member) deliver(life int, f func()) {
	switch {
	case !m.up || m.life != life:
	case m.frozen > 0:
		m.queue = append(m.queue, f)
	default:
		f()
	}
}

// after lets f happen at the member in d.
func (m *member) after(d time.Duration, f func()) {
	life := m.life
	m.w.time.after(d, func() { m.deliver(life, f) })
}

// start begins a life on what the disk holds.
func (m *member) start() {
	if m.up || m.removed {
		return
	}
	if err := m.open(); err != nil {
		m.w.violate("a ledger does not open", "member %d: %v", m.number, err)
		return
	}
	m.up = true
	m.life++
	m.w.note('+', uint64(m.number), uint64(m.ledger.LastIndex()), 0)
	m.queue, m.crashAt, m.calls = nil, nowhere, 0
	m.bonds = map[codec.PeerID]bool{}
	m.replay = newReplayer(m)
	m.client = newProposer(m)
	m.reads = &readBatch{m: m}
	m.provider = newProvider(m)
	m.coord = newCoordinator(m)
	m.raft = newRaftNode(m)
	m.w.net.welcome(m)
	m.raft.started()
	if m.up {
		m.after(time.Duration(m.dice.Int64N(int64(tick))), m.raft.tickOn)
	}
}

// crash ends a life: the process is gone, and with it what was not synced.
func (m *member) crash() {
	if !m.up {
		return
	}
	m.w.note('-', uint64(m.number), uint64(m.ledger.LastIndex()), 0)
	m.end()
	m.forget()
}

// forget loses what was not synced, in part or whole, and heals the disk.
func (m *member) forget() {
	m.disk.Crash(func(unsynced int) int { return m.dice.IntN(unsynced + 1) })
	m.disk.Fault = nil
	m.broken = false
}

// breakDisk makes a write fail soon, and lets the node be started again a while
// after that.
func (m *member) breakDisk(restart time.Duration) {
	if !m.up || m.broken {
		return
	}
	m.broken, m.crashFor = true, restart
	left, how := m.dice.IntN(8), disk.Outcome(1+m.dice.IntN(3))
	ops := [...]disk.Op{disk.OnAll, disk.OnAll, disk.OnSave, disk.OnSeal, disk.OnAdopt, disk.OnRelease}
	op := ops[m.dice.IntN(len(ops))]
	if op != disk.OnAll {
		left = 0
	}
	m.disk.Fault = func(x disk.Write) disk.Outcome {
		if x.Op&op == 0 && m.ledger.Failed() == nil {
			return disk.OK
		}
		if left--; left >= 0 {
			return disk.OK
		}
		return how
	}
}

func (m *member) end() {
	m.up = false
	m.life++
	m.queue = nil
	m.client.close()
	m.w.net.sever(m)
}

// restartIn starts the member again after a while.
func (m *member) restartIn(d time.Duration) {
	m.w.time.after(d, func() { m.start() })
}

// fail is the end of the group on this node because of err. The sort of errors
// that faults bring about are expected; any other is a violation.
func (m *member) fail(err error) {
	if !m.up {
		return
	}
	switch {
	case errors.Is(err, errRemoved):
		m.removed = true
		m.w.note('x', uint64(m.number), 0, 0)
		m.end()
		m.forget()
	case m.broken && m.ledger.Failed() != nil:
		m.crash()
		m.restartIn(m.crashFor)
	default:
		m.w.violate("a member stopped", "member %d stopped: %v", m.number, err)
		m.end()
	}
}

// pause stops the process for a while.
func (m *member) pause(d time.Duration) {
	if !m.up {
		return
	}
	m.frozen++
	m.w.time.after(d, func() { m.thaw() })
}

func (m *member) thaw() {
	if m.frozen == 0 {
		return
	}
	if m.frozen--; m.frozen > 0 {
		return
	}
	life := m.life
	queue := m.queue
	m.queue = nil
	for _, f := range queue {
		m.deliver(life, f)
	}
}

// mayLose reports whether the group can do without the member's directory: it
// has as many voters as survive that, by every configuration that may count, and
// no other is about to come. A standby may be about to become a voter.
func (m *member) mayLose() bool {
	for _, other := range m.w.members {
		if other.leaving && !other.removed || other.undecidedConfig() {
			return false
		}
	}
	configs := m.w.decided.configs
	for _, c := range configs[max(0, len(configs)-3):] {
		if x, ok := c.Member(m.ledger.RaftID()); ok && x.Role != codec.RoleObserver && c.Voters() < 3 {
			return false
		}
	}
	return true
}

// undecidedConfig reports whether the member's log holds a configuration that is
// not decided.
func (m *member) undecidedConfig() bool {
	from := codec.Index(len(m.w.decided.entries)) + 1
	if m.ledger == nil || m.ledger.LastIndex() < from || m.ledger.FirstIndex() > from {
		return false
	}
	entries, err := m.ledger.Entries(from, m.ledger.LastIndex()+1, 1<<30)
	return err != nil || slices.ContainsFunc(entries, func(e codec.Entry) bool { return e.Kind == codec.KindConfig })
}

// mayLeave reports whether the group can do without the member: no voter's
// directory was lost whose old raft id still counts.
func (m *member) mayLeave() bool {
	configs := m.w.decided.configs
	for _, x := range configs[len(configs)-1].Members {
		if other := m.w.byPeer[x.Peer]; other.wiped || other.ledger != nil && other.ledger.RaftID() != x.RaftID {
			return false
		}
	}
	return true
}

// wipe loses the directory: the node comes back as another member.
func (m *member) wipe() {
	m.crash()
	if !m.w.faults.ReuseRaftID {
		m.salts++
	}
	m.disk = disk.New()
	m.disk.Hooks = m.w.faults.Disk
	m.wiped = true
}

// open opens the ledger.
func (m *member) open() (err error) {
	opts := ledger.Options{Group: group, Peer: m.peer, Fold: consensus.Fold, HorizonBlocks: m.w.scenario.Horizon}
	opts.Salt[0], opts.Salt[1] = byte(m.number), byte(m.salts)
	if m.ledger, err = disk.Open(m.disk, opts); err == nil {
		m.w.disks[m.ledger.RaftID()] = m.disk
		m.w.voted(m, m.ledger.HardState())
		m.wiped = false
	}
	return err
}

func (m *member) bonded(other *member) {
	if log := other.ledger.LogID(); m.ledger.LogID().IsZero() && !log.IsZero() {
		if err := m.ledger.SetLogID(log); err != nil {
			m.fail(err)
			return
		}
	}
	m.bonds[other.peer] = true
	m.raft.tell(func() { m.raft.bond(other.peer, true) })
	m.coord.bonded(other.peer)
}

func (m *member) unbonded(other *member) {
	delete(m.bonds, other.peer)
	m.raft.tell(func() { m.raft.bond(other.peer, false) })
	m.coord.lost(other.peer)
}

// bondedPeers lists the peers that are connected, in a fixed order.
func (m *member) bondedPeers() []codec.PeerID {
	var out []codec.PeerID
	for _, other := range m.w.members {
		if m.bonds[other.peer] {
			out = append(out, other.peer)
		}
	}
	return out
}

// syncTime draws what a sync takes.
func (m *member) syncTime() time.Duration {
	d := time.Duration(m.dice.Int64N(int64(2 * time.Millisecond)))
	if m.slowSync > 0 {
		d += time.Duration(m.dice.Int64N(int64(m.slowSync)))
	}
	return d
}
