package consensus

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// network is several Cores on memLogs with a queue of messages between them:
// nothing moves but by a call. It plays what the actors will: the Ready loop,
// sealing, the horizon, progress, and sync sessions (always complete, from any
// other member).
type network struct {
	t       failer
	nodes   map[codec.RaftID]*node
	queue   []envelope
	cut     map[[2]codec.RaftID]bool // links that lose everything
	horizon int                      // blocks; 0: never moves
	silent  map[codec.RaftID]bool    // members that report no progress
	manual  bool                     // held snapshots wait for sync
	leaders map[codec.Term]codec.RaftID
	log     io.Writer // transcript of messages, or nil
	tick    int
	largest int // message so far, in bytes
}

type node struct {
	id      codec.RaftID
	core    *Core // nil: down
	log     *memLog
	reads   []Read
	dropped []uint64
	applied []codec.Cursor // as given by Ready.Committed since open
	err     error          // that stopped it
	behind  codec.Index    // its machine's, in entries
	slow    bool           // its next synced save waits for saved
	saving  *Ready         // the save that waits
}

type envelope struct {
	from, to codec.RaftID
	Message
}

// failer is what a network needs of a *testing.T, *testing.F or *rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newNetwork(t failer) *network {
	return &network{
		t: t, nodes: map[codec.RaftID]*node{}, cut: map[[2]codec.RaftID]bool{},
		silent: map[codec.RaftID]bool{}, leaders: map[codec.Term]codec.RaftID{},
	}
}

func peerName(id codec.RaftID) codec.PeerID { return codec.PeerID(fmt.Sprintf("peer%d", id%100)) }

func (n *network) ids() []codec.RaftID { return slices.Sorted(maps.Keys(n.nodes)) }

func (n *network) node(id codec.RaftID) *node {
	nd := n.nodes[id]
	if nd == nil {
		nd = &node{id: id, log: newMemLog()}
		n.nodes[id] = nd
	}
	return nd
}

func (n *network) found(id codec.RaftID, target int) {
	e, err := Founding(id, codec.ConfigContext{Peer: peerName(id), Nonce: make([]byte, codec.FoundingNonce), Target: target})
	if err != nil {
		n.t.Fatal(err)
	}
	n.node(id).log.found(e)
	n.open(id)
}

// open starts a member on its log, as the actors do.
func (n *network) open(id codec.RaftID) {
	nd := n.node(id)
	nd.log.adoptHead()
	applied, members := nd.log.RaftApplied()
	core, err := Open(Config{
		ID: id, Log: nd.log, Hard: nd.log.hard, Applied: applied, Members: members,
		Sealed: nd.log.head, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		n.t.Fatalf("open %d: %v", id, err)
	}
	nd.core, nd.applied, nd.err = core, nil, nil
	nd.slow, nd.saving = false, nil
	n.pump(nd)
}

func (n *network) kill(id codec.RaftID) {
	nd := n.nodes[id]
	nd.core, nd.saving = nil, nil
	nd.log.crash()
	n.queue = slices.DeleteFunc(n.queue, func(e envelope) bool { return e.to == id })
	for _, other := range n.ids() {
		if o := n.nodes[other]; o.core != nil {
			o.core.Bond(id, false)
			n.pump(o)
		}
	}
}

// pump runs the Ready loop of a node until there is nothing left.
func (n *network) pump(nd *node) {
	for nd.core != nil && n.work(nd, stageAll) {
	}
}

// stages of the Ready loop at which a crash can stop it.
const (
	stageNow = iota
	stageSaved
	stageSent
	stageAll
)

func (n *network) work(nd *node, stage int) bool {
	if early, ok := nd.core.Early(); ok {
		n.give(nd, early)
		if !n.manual {
			n.syncHeld(nd)
		}
	}
	if nd.core == nil {
		return false
	}
	r, ok := nd.core.Ready()
	if !ok {
		return false
	}
	n.send(nd.id, r.Now)
	r.Now = nil
	if stage == stageNow {
		return true
	}
	if nd.slow && r.Save.Sync && stage == stageAll {
		nd.saving = &r
		return false
	}
	return n.save(nd, r, stage)
}

// saved ends the save that waits on a slow disk.
func (n *network) saved(nd *node) {
	nd.slow = false
	if r := nd.saving; r != nil && nd.core != nil {
		nd.saving = nil
		n.save(nd, *r, stageAll)
		n.pump(nd)
	}
}

// give takes what needs no save, or was saved.
func (n *network) give(nd *node, r Ready) {
	n.send(nd.id, r.Now)
	for _, e := range r.Committed {
		nd.applied = append(nd.applied, e.Cursor())
	}
	nd.reads, nd.dropped = append(nd.reads, r.Reads...), append(nd.dropped, r.Dropped...)
}

func (n *network) save(nd *node, r Ready, stage int) bool {
	if r.Adopt != nil {
		nd.log.adopt(r.Adopt.Cursor)
	}
	nd.log.save(r.Save)
	if stage == stageSaved {
		return true
	}
	n.send(nd.id, r.After)
	if stage == stageSent {
		return true
	}
	n.give(nd, r)
	if err := nd.core.Advance(); err != nil {
		n.stop(nd, err)
		return false
	}
	nd.log.applied, nd.log.members = nd.core.Applied(), nd.core.Configuration()
	nd.log.seal()
	if n.horizon > 0 {
		nd.log.hide(n.horizon, nd.core.Floor())
	}
	if !n.manual {
		n.syncHeld(nd)
	}
	n.watch(nd)
	return true
}

// watch checks that a term has one leader.
func (n *network) watch(nd *node) {
	s := nd.core.Status()
	if !s.Lead {
		return
	}
	if other, ok := n.leaders[s.Term]; ok && other != nd.id {
		n.t.Fatalf("term %d has two leaders, %d and %d", s.Term, other, nd.id)
	}
	n.leaders[s.Term] = nd.id
}

// syncHeld runs a sync session for a held MsgSnap, if any.
func (n *network) syncHeld(nd *node) {
	s, ok := nd.core.Held()
	if !ok {
		return
	}
	for _, id := range n.ids() {
		nd.log.fetch(n.nodes[id].log)
	}
	if at, _ := nd.log.head(); at.Index >= s.Cursor.Index {
		n.check(nd, nd.core.StepHeld())
	}
}

func (n *network) stop(nd *node, err error) {
	nd.err, nd.core = err, nil
}

// check stops a node by an error after which it must not go on.
func (n *network) check(nd *node, err error) {
	var admit *AdmitError
	if err != nil && !errors.As(err, &admit) {
		n.stop(nd, err)
	}
}

func (n *network) send(from codec.RaftID, messages []Message) {
	for _, m := range messages {
		n.queue = append(n.queue, envelope{from, m.To, m})
		n.largest = max(n.largest, len(m.Data))
	}
}

// deliver hands the i-th message over, if the link and the receiver are up.
func (n *network) deliver(i int) {
	e := n.queue[i]
	n.queue = slices.Delete(n.queue, i, i+1)
	n.hand(e)
}

func (n *network) hand(e envelope) {
	to := n.nodes[e.to]
	up := to != nil && to.core != nil && !n.cut[[2]codec.RaftID{e.from, e.to}]
	if n.log != nil {
		n.describe(e, up)
	}
	if !up {
		if from := n.nodes[e.from]; e.Snapshot && from.core != nil {
			from.core.SendFailed(e.to, true)
			n.pump(from)
		}
		return
	}
	n.check(to, to.core.Step(e.from, e.Data))
	if to.core != nil {
		n.pump(to)
	}
}

func (n *network) describe(e envelope, up bool) {
	m := new(raftpb.Message)
	if err := proto.Unmarshal(e.Data, m); err != nil {
		n.t.Fatal(err)
	}
	fmt.Fprintf(n.log, "%d->%d %v term %d", e.from, e.to, m.GetType(), m.GetTerm())
	switch m.GetType() {
	case raftpb.MsgApp:
		fmt.Fprintf(n.log, " after %d@%d, %d entries, commit %d", m.GetIndex(), m.GetLogTerm(), len(m.GetEntries()), m.GetCommit())
	case raftpb.MsgAppResp:
		fmt.Fprintf(n.log, " index %d", m.GetIndex())
		if m.GetReject() {
			fmt.Fprintf(n.log, " rejected, hint %d@%d", m.GetRejectHint(), m.GetLogTerm())
		}
	case raftpb.MsgSnap:
		meta := m.GetSnapshot().GetMetadata()
		fmt.Fprintf(n.log, " at %d@%d, voters %v, learners %v", meta.GetIndex(), meta.GetTerm(), meta.GetConfState().GetVoters(), meta.GetConfState().GetLearners())
	case raftpb.MsgHeartbeat:
		fmt.Fprintf(n.log, " commit %d", m.GetCommit())
	}
	if m.GetReject() && m.GetType() != raftpb.MsgAppResp {
		fmt.Fprint(n.log, " rejected")
	}
	if !up {
		fmt.Fprint(n.log, " (lost)")
	}
	fmt.Fprintln(n.log)
}

// settle delivers until the queue is empty.
func (n *network) settle() {
	for i := 0; len(n.queue) > 0; i++ {
		if i > 1_000_000 {
			n.t.Fatal("the network does not come to rest")
		}
		n.deliver(0)
	}
}

// ticks lets time pass for everybody, with all messages delivered.
func (n *network) ticks(count int) {
	for range count {
		n.tickOnce()
		n.settle()
	}
}

func (n *network) tickOnce() {
	n.tick++
	for _, id := range n.ids() {
		nd := n.nodes[id]
		if nd.core == nil {
			continue
		}
		nd.core.Replaying(nd.behind)
		nd.core.Tick()
		n.pump(nd)
		if nd.core != nil && n.tick%10 == 0 && !n.silent[id] {
			n.progress(nd)
		}
	}
}

// progress is the report that a member makes each second.
func (n *network) progress(nd *node) {
	lead := n.nodes[nd.core.Status().Leader]
	if lead == nil || lead.core == nil || lead == nd || n.cut[[2]codec.RaftID{nd.id, lead.id}] {
		return
	}
	p := codec.Progress{RaftApplied: nd.core.Applied(), Blocks: uint64(len(nd.log.ends))}
	p.MachineApplied = p.RaftApplied - min(p.RaftApplied, nd.behind)
	if s, ok := nd.core.Held(); ok {
		p.PendingSnapshot = s.Cursor.Index
	}
	lead.core.Progressed(nd.id, p)
}

// leader is the member that leads in the highest term, or nil.
func (n *network) leader() *node {
	var best *node
	for _, id := range n.ids() {
		nd := n.nodes[id]
		if nd.core != nil && nd.core.Status().Lead && (best == nil || nd.core.Status().Term > best.core.Status().Term) {
			best = nd
		}
	}
	return best
}

// elect lets time pass until there is a leader that committed in its term.
func (n *network) elect() *node {
	return n.until("a leader", func() bool {
		l := n.leader()
		return l != nil && l.core.settled() && l.core.applied == l.core.commit && !l.core.transferring()
	})
}

// until lets time pass until ok, ten minutes of it at most, and returns the leader.
func (n *network) until(what string, ok func() bool) *node {
	n.t.Helper()
	for range 6000 {
		if ok() {
			return n.leader()
		}
		n.ticks(1)
	}
	n.t.Fatalf("never: %s", what)
	return nil
}

// propose commits count commands of size bytes through the leader.
func (n *network) propose(count, size int) {
	n.t.Helper()
	l := n.elect()
	for range count {
		if _, err := l.core.Propose([][]byte{make([]byte, size)}); err != nil {
			n.t.Fatal(err)
		}
		n.pump(l)
	}
	n.settle()
}

// join adds a member: its ledger catches up and it opens, unless it is open
// already; then it asks until it is in.
func (n *network) join(id codec.RaftID, role codec.Role) {
	n.t.Helper()
	n.joinAs(id, peerName(id), role)
}

func (n *network) joinAs(id codec.RaftID, peer codec.PeerID, role codec.Role) {
	n.t.Helper()
	nd, l := n.node(id), n.elect()
	if nd.core == nil {
		nd.log.fetch(l.log)
		n.open(id)
	}
	at, _ := nd.log.head()
	n.until("joined", func() bool {
		l := n.leader()
		if l == nil {
			return false
		}
		a := l.core.Join(peer, codec.Join{RaftID: id, Role: role, Cursor: at})
		n.pump(l)
		n.settle()
		return a.Status == codec.CallOK
	})
}

// role is a member's role in the leader's configuration; 0: none.
func (n *network) role(id codec.RaftID) codec.Role {
	l := n.leader()
	if l == nil {
		return 0
	}
	m, _ := l.core.Configuration().Member(id)
	return m.Role
}

// follows reports whether a member has everything that the leader committed.
func (n *network) follows(id codec.RaftID) bool {
	l, nd := n.leader(), n.nodes[id]
	return l != nil && nd.core != nil && nd.core.Applied() == l.core.commit && differ(l.log, nd.log) == 0
}

// state is the leader's word for how it sends to a member.
func (n *network) state(id codec.RaftID) string {
	for _, p := range n.leader().core.Status().Peers {
		if p.ID == id {
			return p.State
		}
	}
	return "none"
}

// sever cuts a member off, both ways, or mends it.
func (n *network) sever(id codec.RaftID, cut bool) {
	for _, other := range n.ids() {
		n.cut[[2]codec.RaftID{id, other}], n.cut[[2]codec.RaftID{other, id}] = cut, cut
	}
}

// trio is a group of three voters, 1, 2 and 3.
func trio(t failer) *network {
	n := newNetwork(t)
	n.found(1, 3)
	n.join(2, codec.RoleStandby)
	n.join(3, codec.RoleStandby)
	n.until("three voters", func() bool { return n.role(2) == codec.RoleVoter && n.role(3) == codec.RoleVoter })
	return n
}
