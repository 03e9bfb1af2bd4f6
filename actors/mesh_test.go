package actors

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// mesh is whole members in one bubble, with a network in memory between them on
// which everything takes a millisecond and links can be cut, each way by itself:
// what is sent over a cut link is lost, and who waits for an answer waits on.
type mesh struct {
	t       *testing.T
	members []*meshMember

	mu   sync.Mutex
	cut  map[[2]codec.PeerID]bool
	sent map[codec.FrameType]int // calls that were carried, by question
}

type meshMember struct {
	*Group
	mesh    *mesh
	id      codec.PeerID
	machine *sumMachine
	disk    gatedFS
	queues  map[codec.PeerID]chan meshFrame
}

type meshFrame struct {
	open codec.RaftOpen
	m    codec.Message
	at   time.Time // of arrival
}

const meshDelay = time.Millisecond

// newMesh is a group of three voters, and so many observers.
func newMesh(t *testing.T, observers int) *mesh {
	t.Helper()
	x := &mesh{t: t, cut: map[[2]codec.PeerID]bool{}, sent: map[codec.FrameType]int{}}
	for i := range 3 + observers {
		x.members = append(x.members, x.make(i, i >= 3))
	}
	t.Cleanup(x.stop)
	for _, m := range x.members {
		m.Start(m)
	}
	for _, a := range x.members {
		for _, b := range x.members {
			if a != b {
				a.Bonded(b.id, b.cfg.Ledger.LogID(), true)
			}
		}
	}
	x.until("three voters follow one leader", func() bool {
		for _, m := range x.members {
			v := m.View()
			if v.Config.Voters() != 3 || len(v.Config.Members) != len(x.members) || v.Leader == "" {
				return false
			}
		}
		return true
	})
	return x
}

func (x *mesh) make(i int, observer bool) *meshMember {
	x.t.Helper()
	m := &meshMember{mesh: x, id: codec.PeerID(fmt.Sprint("member", i)), machine: &sumMachine{}, queues: map[codec.PeerID]chan meshFrame{}}
	m.disk = gatedFS{vfs.NewMem(), make(chan struct{}, 1)}
	l, err := ledger.Open(ledger.Options{FS: m.disk, Dir: "/ledger", Group: testGroup, Peer: m.id, Salt: [16]byte{byte(i)}, Fold: Fold, Logger: discard()})
	require.NoError(x.t, err)
	if i == 0 {
		require.NoError(x.t, Found(l, m.id, nil, 3, [codec.FoundingNonce]byte{1}))
	}
	role := codec.RoleVoter
	if observer {
		role = codec.RoleObserver
	}
	m.Group = New(Config{
		Self: m.id, Group: testGroup, Ledger: l, Machine: m.machine, Role: role, Addrs: func() []string { return nil },
		Random: counting(byte(64 * i)),
		Logger: discard(),
	})
	return m
}

func (x *mesh) stop() {
	for _, m := range x.members {
		m.Close()
		require.NoError(x.t, m.cfg.Ledger.Close())
	}
	time.Sleep(2 * time.Millisecond) // in a bubble: for the library's goroutine after a dead letter
}

func (x *mesh) until(what string, ok func() bool) {
	x.t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond) // in a bubble
	}
	x.t.Fatal("never: " + what)
}

func (x *mesh) member(id codec.PeerID) *meshMember {
	for _, m := range x.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// leader is the member that leads, as most of the others see it.
func (x *mesh) leader() *meshMember {
	x.t.Helper()
	var found *meshMember
	x.until("somebody leads", func() bool {
		votes := map[codec.PeerID]int{}
		for _, m := range x.members {
			votes[m.View().Leader]++
		}
		for id, n := range votes {
			if m := x.member(id); m != nil && n > len(x.members)/2 && m.View().Lead {
				found = m
			}
		}
		return found != nil
	})
	return found
}

// others are the voters that do not lead.
func (x *mesh) others(leader *meshMember) (out []*meshMember) {
	for _, m := range x.members[:3] {
		if m != leader {
			out = append(out, m)
		}
	}
	return out
}

// requireApplied waits until all members have applied as much as m, and compares
// how many commands their machines saw.
func (x *mesh) requireApplied(m *meshMember, commands int) {
	x.t.Helper()
	x.until("all members are level", func() bool {
		for _, o := range x.members {
			if v := o.View(); v.Applied != m.View().Raft.Commit || v.Digest != m.View().Digest {
				return false
			}
		}
		return true
	})
	for _, o := range x.members {
		require.Equal(x.t, commands, o.machine.commands, "%s", o.id)
	}
}

// isolate cuts a member off, or brings it back.
func (x *mesh) isolate(m *meshMember, off bool) {
	for _, o := range x.members {
		if o != m {
			x.link(m, o, off)
			x.link(o, m, off)
		}
	}
}

// link cuts one way, or mends it.
func (x *mesh) link(from, to *meshMember, off bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cut[[2]codec.PeerID{from.id, to.id}] = off
}

func (x *mesh) lost(from, to codec.PeerID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cut[[2]codec.PeerID{from, to}]
}

func (x *mesh) carried(question codec.FrameType) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sent[question]
}

// The Network of one member.

func (m *meshMember) Bonds() (out []codec.PeerID) {
	for _, o := range m.mesh.members {
		if o != m {
			out = append(out, o.id)
		}
	}
	return out
}

func (m *meshMember) Broadcast(req codec.AvailabilityRequest) error {
	for _, o := range m.mesh.members {
		if o != m && !m.mesh.lost(m.id, o.id) {
			go o.AvailabilityAsked(req)
		}
	}
	return nil
}

func (m *meshMember) Reply(_ context.Context, to codec.PeerID, r codec.AvailabilityReply) error {
	if !m.mesh.lost(m.id, to) {
		m.mesh.member(to).AvailabilityReplied(m.id, r)
	}
	return nil
}

func (m *meshMember) OpenSync(_ context.Context, to codec.PeerID) (Stream, error) {
	if m.mesh.lost(m.id, to) || m.mesh.lost(to, m.id) {
		return nil, errNoNetwork
	}
	ours, theirs := streamPair(1 << 20)
	go m.mesh.member(to).ServeSync(m.id, theirs)
	return ours, nil
}

func (m *meshMember) Call(ctx context.Context, to codec.PeerID, q codec.Message) (codec.Answer, error) {
	m.mesh.mu.Lock()
	m.mesh.sent[codec.TypeOf(q)]++
	m.mesh.mu.Unlock()
	time.Sleep(meshDelay) // in a bubble
	if m.mesh.lost(m.id, to) {
		<-ctx.Done()
		return codec.Answer{}, ctx.Err()
	}
	a := m.mesh.member(to).Called(ctx, m.id, q)
	time.Sleep(meshDelay) // in a bubble
	if m.mesh.lost(to, m.id) {
		<-ctx.Done()
		return codec.Answer{}, ctx.Err()
	}
	return a, nil
}

// SendRaft is called by the consensus actor alone.
func (m *meshMember) SendRaft(to codec.PeerID, from, id codec.RaftID, msg codec.Message, _ bool) bool {
	q := m.queues[to]
	if q == nil {
		q = make(chan meshFrame, 1<<12)
		m.queues[to] = q
		go m.carry(to, q)
	}
	select {
	case q <- meshFrame{codec.RaftOpen{From: from, To: id}, msg, time.Now().Add(meshDelay)}:
		return true
	default:
		return false
	}
}

func (m *meshMember) carry(to codec.PeerID, q <-chan meshFrame) {
	for {
		select {
		case f := <-q:
			time.Sleep(time.Until(f.at)) // in a bubble
			if m.mesh.lost(m.id, to) {
				continue
			}
			for _, answer := range m.mesh.member(to).RaftReceived(m.id, f.open, f.m) {
				m.RaftAnswered(to, answer)
			}
		case <-m.Done():
			return
		}
	}
}

func (m *meshMember) Know([]codec.Member) {}

// run starts a command and returns where its outcome comes.
func (m *meshMember) run(ctx context.Context, begin func() (*Call, error)) <-chan tried {
	out := make(chan tried, 1)
	go func() {
		call, err := begin()
		if err != nil {
			out <- tried{err: err}
			return
		}
		o, maybe, err := m.Await(ctx, call)
		out <- tried{Outcome: o, maybe: maybe, err: err}
	}()
	return out
}

type tried struct {
	Outcome
	maybe bool
	err   error
}

func (m *meshMember) execute(t *testing.T, command string) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := <-m.run(ctx, func() (*Call, error) { return m.Begin([]byte(command)) })
	require.NoError(t, r.err)
	require.NoError(t, r.Err)
	return r.Outcome
}
