package actors

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/machine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testGroup = codec.GroupIDOf(codec.NetworkIDOf("test"), "main")

const self = codec.PeerID("self")

// logLines collects log records as text.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logLines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// testSystem is an actor system that the test, in a bubble, ends.
func testSystem(t *testing.T) *actor.ActorSystem {
	t.Helper()
	s := newSystem(discard())
	t.Cleanup(func() {
		s.Shutdown()
		time.Sleep(2 * time.Millisecond) // in a bubble: for the library's goroutine after a dead letter
	})
	return s
}

// stopActor waits until an actor and its children have stopped.
func stopActor(t *testing.T, s *actor.ActorSystem, pid *actor.PID) {
	t.Helper()
	require.NoError(t, s.Root.StopFuture(pid).Wait())
}

// inbox is an actor that keeps what it is sent.
type inbox struct {
	mu   sync.Mutex
	msgs []any
}

func (b *inbox) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case actor.SystemMessage, actor.AutoReceiveMessage:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.msgs = append(b.msgs, ctx.Message())
}

// take empties the inbox.
func (b *inbox) take() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	msgs := b.msgs
	b.msgs = nil
	return msgs
}

func spawn(s *actor.ActorSystem, a actor.Actor) *actor.PID {
	return s.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return a }))
}

// ofType are the messages of one type, in order.
func ofType[T any](msgs []any) (out []T) {
	for _, m := range msgs {
		if v, ok := m.(T); ok {
			out = append(out, v)
		}
	}
	return out
}

// silence fails the test if anything is written to stdout or stderr meanwhile.
func silence(t *testing.T, during func()) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "console")
	require.NoError(t, err)
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = out, out
	func() {
		defer func() { os.Stdout, os.Stderr = stdout, stderr }()
		during()
	}()
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.Empty(t, string(text), "written to the console")
}

// openLedger is a ledger in memory.
func openLedger(t testing.TB, peer codec.PeerID) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(ledger.Options{
		Memory: true, Group: testGroup, Peer: peer, Salt: [16]byte{1}, Fold: Fold, Logger: discard(),
	})
	require.NoError(t, err)
	return l
}

// testLog is a log of whole blocks, which begins with a founding and the
// opening of a client session; the rest are commands of that session.
type testLog struct {
	entries []codec.Entry
	blocks  [][]byte
	tree    []codec.Hash // root of the first n blocks
	ends    []codec.Cursor
}

// newLog makes a log of so many blocks, whose commands have size bytes each.
// flavour distinguishes logs of the same founding.
func newLog(t testing.TB, blocks, size int, flavour string) *testLog {
	t.Helper()
	first, err := consensus.Founding(7, codec.ConfigContext{
		Peer: "founder", Role: codec.RoleVoter, Nonce: make([]byte, codec.FoundingNonce), Target: 3,
	})
	require.NoError(t, err)
	l := &testLog{entries: []codec.Entry{first, {
		Index: 2, Term: 1, Kind: codec.KindCommand, Data: codec.AppendCommand(nil, codec.Command{Payload: make([]byte, codec.OpenNonce)}),
	}}}
	tree := codec.NewTree()
	l.tree = append(l.tree, tree.Root())
	begin, fill := 0, codec.BlockFill{}
	for i := 0; len(l.blocks) < blocks; i++ {
		if i >= len(l.entries) {
			payload := append(fmt.Appendf(nil, "%s %d ", flavour, i), bytes.Repeat([]byte{'x'}, size)...)
			l.entries = append(l.entries, codec.Entry{
				Index: codec.Index(i + 1), Term: 1, Kind: codec.KindCommand,
				Data: codec.AppendCommand(nil, codec.Command{Session: 2, Seq: uint64(i), Low: uint64(i), Payload: payload}),
			})
		}
		if !fill.Add(len(l.entries[i].Data)) {
			continue
		}
		data, err := codec.AppendBlock(nil, l.entries[begin:i+1])
		require.NoError(t, err)
		begin = i + 1
		l.blocks = append(l.blocks, data)
		tree.Append(codec.Leaf(data), nil)
		l.tree = append(l.tree, tree.Root())
		l.ends = append(l.ends, l.entries[i].Cursor())
	}
	return l
}

// head is that of the first n blocks.
func (l *testLog) head(n int) codec.Head {
	h := codec.Head{Blocks: uint64(n), Root: l.tree[n]}
	if n > 0 {
		h.Last = l.ends[n-1].Index
	}
	return h
}

// leaves proves a group in the tree of the first n blocks.
func (l *testLog) leaves(n, group uint64) *codec.Leaves {
	from := group * codec.ProofGroup
	to := min(from+codec.ProofGroup, n)
	m := &codec.Leaves{Group: group, Tree: n, Left: l.between(0, from), Right: l.between(to, n)}
	for b := from; b < to; b++ {
		m.Leaves = append(m.Leaves, codec.Leaf(l.blocks[b]))
	}
	return m
}

func (l *testLog) between(from, to uint64) (out []codec.Hash) {
	for _, id := range codec.RangeNodes(from, to) {
		out = append(out, l.node(id.Level, id.Number))
	}
	return out
}

func (l *testLog) node(level uint, number uint64) codec.Hash {
	if level == 0 {
		return codec.Leaf(l.blocks[number])
	}
	return codec.Node(l.node(level-1, 2*number), l.node(level-1, 2*number+1))
}

func (l *testLog) bytes(n int) (size int64) {
	for _, b := range l.blocks[:n] {
		size += int64(len(b))
	}
	return size
}

// sumMachine is the multiset of the commands that it applied. It panics at a
// command, query or digest that contains or follows "panic".
type sumMachine struct {
	sum      machine.MultisetHash
	commands int
	last     string
	poison   string // the method that panics: apply, query, digest
}

func (*sumMachine) Signature() string { return "sum/1" }

func (m *sumMachine) Apply(b *machine.Batch) {
	for _, command := range b.Commands() {
		if m.poison == "apply" && bytes.Contains(command, []byte("panic")) {
			panic("poisoned")
		}
		m.sum.Add(command)
		m.commands++
		m.last = string(command)
		b.Result(command)
	}
}

func (m *sumMachine) Query(dst, query []byte) ([]byte, error) {
	if m.poison == "query" {
		panic("poisoned")
	}
	return append(dst, m.last...), nil
}

func (m *sumMachine) Digest() codec.Digest {
	if m.poison == "digest" && m.last == "panic" {
		panic("poisoned")
	}
	return m.sum.Sum()
}
