package testnet

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
)

// mesh is a group of nodes whose links can be cut. What was cut stays so when a
// node is started again.
type mesh struct {
	t     *testing.T
	key   string // file of the group key
	nodes []*node

	mu     sync.Mutex
	faults map[*node]map[*node]string // what a node does to another: block or mute
}

// newMesh founds a group that wants so many voters, and joins as many nodes.
// Each is prepared before its first start.
func newMesh(t *testing.T, voters int, prepare ...func(*node)) *mesh {
	t.Helper()
	m := &mesh{t: t, key: keyFile(t), faults: map[*node]map[*node]string{}}
	for i := range voters {
		m.nodes = append(m.nodes, m.newNode(string(rune('a'+i))))
		for _, f := range prepare {
			f(m.nodes[i])
		}
		if i == 0 {
			m.nodes[0].start("--found", "--voters", fmt.Sprint(voters))
			m.nodes[0].until("leads", online)
			continue
		}
		m.nodes[i].start("--join", m.nodes[0].ready.Ticket)
	}
	m.whole(voters)
	return m
}

// newNode makes a node with links that can be cut.
func (m *mesh) newNode(name string) *node {
	n := newNode(m.t, name, "--group-key", m.key)
	n.program = frail.path(m.t)
	n.flag = append(n.flag, "--chaos-socket", n.socket(), "--log-level", "debug")
	return n
}

// whole waits until all nodes are in the group, with so many voters.
func (m *mesh) whole(voting int) {
	m.t.Helper()
	for _, n := range m.nodes {
		n.until("is in the whole group", func(st logmesh.Status) bool {
			return online(st) && len(st.Members) == len(m.nodes) && voters(st) == voting
		})
	}
}

// start runs nodes again; their links are as they were before they take part.
func (m *mesh) start(nodes ...*node) {
	m.t.Helper()
	m.did("start", nodes...)
	for _, n := range nodes {
		n.launch()
	}
	for _, n := range nodes {
		eventually(m.t, func() bool { return !n.process.running() || m.apply(n) == nil }, "the links of %s are as before", n.dir)
	}
	for _, n := range nodes {
		n.await(n.process)
	}
}

// statuses asks all nodes at once; nil: no answer within d.
func (m *mesh) statuses(d time.Duration) []*logmesh.Status {
	out := make([]*logmesh.Status, len(m.nodes))
	var all sync.WaitGroup
	for i, n := range m.nodes {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			defer cancel()
			if st, err := n.api().Status(ctx); err == nil {
				out[i] = &st
			}
		})
	}
	all.Wait()
	return out
}

// apply makes a running node's faults what they should be.
func (m *mesh) apply(n *node) error {
	m.mu.Lock()
	words := map[string][]string{"unblock": nil}
	for other, fault := range m.faults[n] {
		words[fault] = append(words[fault], other.ready.ID)
	}
	m.mu.Unlock()
	for _, command := range []string{"unblock", "block", "mute"} {
		if peers, ok := words[command]; ok {
			if _, err := n.tell(command, peers...); err != nil {
				return err
			}
		}
	}
	return nil
}

// did notes in the test's log what was done, and when, beside the nodes' logs.
func (m *mesh) did(what string, nodes ...*node) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.name())
	}
	m.t.Logf("%s %s %s", time.Now().UTC().Format("15:04:05.000"), what, strings.Join(names, " "))
}

// fault has each of these nodes do to each of those what command says. Nodes
// that do not run get it when they are started; a paused one at once: its socket
// takes the command, and it obeys when it goes on.
func (m *mesh) fault(command string, these, those []*node) {
	m.mu.Lock()
	for _, n := range these {
		if m.faults[n] == nil {
			m.faults[n] = map[*node]string{}
		}
		for _, other := range those {
			if n != other {
				m.faults[n][other] = command
			}
		}
	}
	m.mu.Unlock()
	m.did(command+" by", these...)
	m.did("  of", those...)
	m.tell(these)
}

// tell applies the faults of several nodes at once. Only one that has ended, or is
// about to, may not take them.
func (m *mesh) tell(nodes []*node) {
	m.t.Helper()
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { errs[i] = m.apply(n) })
	}
	all.Wait()
	for i, n := range nodes {
		if errs[i] != nil {
			eventually(m.t, func() bool { return !n.process.running() }, "%s takes its faults: %v", n.dir, errs[i])
		}
	}
}

// cut parts two sides: their connections are closed, and neither reaches the
// other.
func (m *mesh) cut(one, other []*node) { m.part("block", one, other) }

// part has two sides do the same to each other. Sides that mute each other keep
// their connections, and hear nothing.
func (m *mesh) part(way string, one, other []*node) {
	m.fault(way, one, other)
	m.fault(way, other, one)
}

// heal mends all links.
func (m *mesh) heal() {
	m.mu.Lock()
	clear(m.faults)
	m.mu.Unlock()
	m.did("heal")
	m.tell(m.nodes)
}

// others are the nodes of the mesh but these.
func (m *mesh) others(these ...*node) (out []*node) {
	for _, n := range m.nodes {
		if !contains(these, n) {
			out = append(out, n)
		}
	}
	return out
}

func contains(nodes []*node, n *node) bool {
	for _, other := range nodes {
		if other == n {
			return true
		}
	}
	return false
}

// socket is where the node takes commands about its links.
func (n *node) socket() string { return n.dir + ".sock" }

// tell gives a command to the node's socket and takes the answer.
func (n *node) tell(command string, peers ...string) (string, error) {
	c, err := net.DialTimeout("unix", n.socket(), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()                                     //nolint:errcheck // the answer has come
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // it may be paused
	if _, err := fmt.Fprintln(c, command, strings.Join(peers, " ")); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(answer, "ok") {
		return "", fmt.Errorf("%s %s: %s", command, strings.Join(peers, " "), answer)
	}
	return answer, nil
}

// The program that users have cannot cut links, and has nothing in it that could.
func TestNoChaosForUsers(t *testing.T) {
	out, exit := run(t, "run", "--data", filepath.Join(t.TempDir(), "n"), "--found", "--chaos-socket", "x")
	require.Equal(t, 2, exit, out)
	for b, has := range map[*binary]bool{&plain: false, &frail: true} {
		data, err := os.ReadFile(b.path(t))
		require.NoError(t, err)
		for _, trace := range []string{"chaos-socket", "p2p.faultyStream", "p2p.gater"} {
			require.Equal(t, has, strings.Contains(string(data), trace), "%s in the build with tags %q", trace, b.tags)
		}
	}
}
