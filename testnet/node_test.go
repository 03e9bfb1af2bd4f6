package testnet

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/api"
)

const (
	patience  = 60 * time.Second // for what must happen, however busy the machine is
	pollEvery = 20 * time.Millisecond
)

// readyFile is what DIR/node.json says, as far as it is used here.
type readyFile struct {
	ID     string `json:"id"`
	API    string `json:"api"`
	PID    int    `json:"pid"`
	Ticket string `json:"ticket"`
}

// node is a directory on which the program runs, and runs again.
type node struct {
	t       *testing.T
	program string
	dir     string
	log     string // a file with what all its runs said
	flag    []string

	mu      sync.Mutex // guards what a restart changes
	process *process
	ready   readyFile
	client  *api.Client
}

// newNode makes a node that is not started yet; flags go to each of its runs.
func newNode(t *testing.T, name string, flags ...string) *node {
	t.Helper()
	n := &node{
		t: t, program: program(t), dir: filepath.Join(t.TempDir(), name),
		log: filepath.Join(t.ArtifactDir(), name+".log"), flag: flags,
	}
	if *work != "" {
		n.dir, n.log = filepath.Join(*work, name), filepath.Join(*work, name+".log")
	}
	t.Cleanup(func() {
		if n.process != nil {
			n.process.kill()
		}
		if t.Failed() {
			t.Logf("the last that %s said:\n%s", name, tail(n.said(), 60))
		}
	})
	return n
}

// start runs the node, with more flags than its own, until it is ready.
func (n *node) start(more ...string) {
	n.t.Helper()
	n.await(n.launch(more...))
}

// await waits until a run of the node is ready.
func (n *node) await(p *process) {
	n.t.Helper()
	var ready readyFile
	eventually(n.t, func() bool {
		if !p.running() {
			require.FailNow(n.t, "the node ended", "status %d\n%s", p.exit, tail(n.said(), 20))
		}
		data, err := os.ReadFile(filepath.Join(n.dir, "node.json"))
		return err == nil && json.Unmarshal(data, &ready) == nil && ready.PID == p.cmd.Process.Pid
	}, "%s is ready", n.dir)
	c, err := api.NewClient(ready.API)
	require.NoError(n.t, err)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.client != nil {
		n.client.Close()
	}
	n.ready, n.client = ready, c
}

// launch runs the node without waiting for anything.
func (n *node) launch(more ...string) *process {
	n.t.Helper()
	args := append([]string{"run", "--data", n.dir, "--http", "127.0.0.1:0"}, append(n.flag, more...)...)
	p := launch(n.t, n.program, n.log, args...)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process = p
	return p
}

// stop ends the node as a service manager does.
func (n *node) stop() {
	n.t.Helper()
	n.process.signal(n.t, syscall.SIGTERM)
	require.Zero(n.t, n.process.ends(n.t, 10*time.Second), "exit status\n%s", tail(n.said(), 20))
}

func (n *node) name() string { return filepath.Base(n.dir) }

// api is a client of the present run.
func (n *node) api() *api.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.client
}

// status is the node's picture, or false when it does not answer.
func (n *node) status() (logmesh.Status, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	st, err := n.api().Status(ctx)
	return st, err == nil
}

// until waits for a status, and gives it.
func (n *node) until(what string, is func(logmesh.Status) bool) logmesh.Status {
	n.t.Helper()
	var st logmesh.Status
	ok := false
	eventually(n.t, func() bool {
		st, ok = n.status()
		return ok && is(st)
	}, "%s: %s; last %+v", filepath.Base(n.dir), what, lazy(func() any { return st }))
	return st
}

func online(st logmesh.Status) bool { return st.Phase == logmesh.PhaseOnline && st.Leader != "" }

// said is everything that the node's runs said.
func (n *node) said() string {
	data, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// keyFile makes a group key as a user does.
func keyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "group.key")
	out, exit := run(t, "key", "new", path)
	require.Zero(t, exit, out)
	return path
}

// newGroup founds a group on the first of size nodes and joins the others to
// it, until there are as many voters as the group wants, three at most.
func newGroup(t *testing.T, size int) []*node {
	t.Helper()
	key := keyFile(t)
	nodes := make([]*node, size)
	for i := range nodes {
		nodes[i] = newNode(t, string(rune('a'+i)), "--group-key", key)
		if i == 0 {
			nodes[i].start("--found")
			nodes[i].until("leads", online)
			continue
		}
		nodes[i].start("--join", nodes[0].ready.Ticket)
	}
	for _, n := range nodes {
		n.until("is in the whole group", func(st logmesh.Status) bool {
			return online(st) && len(st.Members) == size && voters(st) == min(size, 3)
		})
	}
	return nodes
}

func voters(st logmesh.Status) (n int) {
	for _, m := range st.Members {
		if m.Role.String() == "voter" {
			n++
		}
	}
	return n
}

// leader is the index of the node that leads.
func leader(t *testing.T, nodes []*node) (at int) {
	t.Helper()
	eventually(t, func() bool {
		for i, n := range nodes {
			if st, ok := n.status(); ok && st.Role == "leader" {
				at = i
				return true
			}
		}
		return false
	}, "somebody leads")
	return at
}

// eventually polls on the test's own goroutine, so that condition may use
// require.
func eventually(t *testing.T, condition func() bool, format string, args ...any) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(t, "waited in vain", append([]any{format}, args...)...)
		}
	}
}

// lazy is a value that is formatted when it is printed.
type lazy func() any

func (l lazy) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%+v", l()) }

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// fmtInt is a number as keys and values have it, in the order of numbers.
func fmtInt(i int) string { return fmt.Sprintf("%06d", i) }
