package p2p

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/logmesh/logmesh/codec"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	patience = 20 * time.Second
	tick     = 5 * time.Millisecond
)

// recorder is a Handler that remembers what it was told and answers what a test
// sets.
type recorder struct {
	mu       sync.Mutex
	bonds    map[codec.PeerID]codec.LogID
	boots    map[codec.PeerID]bool
	events   []string // "bonded PEER", "unbonded PEER", in order
	refusals map[codec.PeerID][]error
	asked    []codec.AvailabilityRequest
	replies  map[codec.PeerID][]codec.AvailabilityReply
	raft     []codec.Message
	opens    []codec.RaftOpen
	answers  []codec.Message

	sync   func(from codec.PeerID, s Stream)
	heard  func(m codec.Message) []codec.Message
	called func(ctx context.Context, m codec.Message) codec.Answer
}

func newRecorder() *recorder {
	return &recorder{
		bonds: map[codec.PeerID]codec.LogID{}, boots: map[codec.PeerID]bool{},
		refusals: map[codec.PeerID][]error{}, replies: map[codec.PeerID][]codec.AvailabilityReply{},
	}
}

func (r *recorder) Bonded(p codec.PeerID, log codec.LogID, bootstrap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bonds[p], r.boots[p] = log, bootstrap
	r.events = append(r.events, "bonded "+string(p))
}

func (r *recorder) Unbonded(p codec.PeerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bonds, p)
	r.events = append(r.events, "unbonded "+string(p))
}

func (r *recorder) Refused(p codec.PeerID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals[p] = append(r.refusals[p], err)
}

func (r *recorder) AvailabilityAsked(req codec.AvailabilityRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req)
}

func (r *recorder) AvailabilityReplied(from codec.PeerID, m codec.AvailabilityReply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies[from] = append(r.replies[from], m)
}

func (r *recorder) ServeSync(from codec.PeerID, s Stream) {
	if r.sync != nil {
		r.sync(from, s)
	}
}

func (r *recorder) RaftReceived(_ codec.PeerID, open codec.RaftOpen, m codec.Message) []codec.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := m.(*codec.RaftOpen); ok {
		r.opens = append(r.opens, open)
	} else {
		r.raft = append(r.raft, m)
	}
	if r.heard != nil {
		return r.heard(m)
	}
	return nil
}

func (r *recorder) RaftAnswered(_ codec.PeerID, m codec.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, m)
}

func (r *recorder) Called(ctx context.Context, _ codec.PeerID, m codec.Message) codec.Answer {
	if r.called != nil {
		return r.called(ctx, m)
	}
	return codec.Answer{Status: codec.CallRefused, Reason: "nothing to ask here"}
}

// see reads the recorder's fields under its lock.
func see[T any](r *recorder, read func() T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return read()
}

// until waits for a condition on what a recorder was told.
func (r *recorder) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, func() bool { return see(r, condition) }, patience, tick, what)
}

// member is a node with one group open, and what its handler was told.
type member struct {
	*recorder
	net   *Net
	group *Group
}

func seed(b byte) []byte {
	s := make([]byte, SeedSize)
	s[0] = b
	return s
}

func groupKey(b byte) []byte {
	k := make([]byte, GroupKeySize)
	k[0] = b
	return k
}

func logID(b byte) codec.LogID { return codec.LogID{b} }

// logger writes to standard error with LOGMESH_LOG set, and nowhere without.
func logger() *slog.Logger {
	if os.Getenv("LOGMESH_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func config(id byte, peers ...string) Config {
	return Config{
		Key: seed(id), Network: "test", Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Peers: peers,
		Logger: logger(),
	}
}

func groupConfig(h Handler) GroupConfig {
	return GroupConfig{
		Name: "main", Key: groupKey(1), Machine: "kv/1", Handler: h,
		Log:  func() codec.LogID { return logID(1) },
		Role: func() codec.Role { return codec.RoleVoter },
	}
}

func startNet(t testing.TB, cfg Config) *Net {
	t.Helper()
	n, err := New(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

// start is a node that dials the given ones.
func start(t testing.TB, id byte, change func(*GroupConfig), dial ...*member) *member {
	t.Helper()
	var peers []string
	for _, m := range dial {
		peers = append(peers, m.net.Addrs()...)
	}
	return open(t, startNet(t, config(id, peers...)), change)
}

// open opens the group main on a node.
func open(t testing.TB, n *Net, change func(*GroupConfig)) *member {
	t.Helper()
	m := &member{recorder: newRecorder(), net: n}
	cfg := groupConfig(m.recorder)
	if change != nil {
		change(&cfg)
	}
	g, err := n.OpenGroup(cfg)
	require.NoError(t, err)
	m.group = g
	return m
}

func (m *member) id() codec.PeerID { return m.net.ID() }

func (m *member) has(other *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.bonds[other.id()]
	return ok
}

// bonded waits until all of them have bonds with each other.
func bonded(t testing.TB, all ...*member) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, a := range all {
			for _, b := range all {
				if a != b && !a.has(b) {
					return false
				}
			}
		}
		return true
	}, patience, tick, "bonds")
}
