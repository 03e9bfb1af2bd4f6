package testnet

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	minutes = flag.Float64("minutes", 0.25, "how long the chaos test does harm")
	members = flag.Int("nodes", 3, "nodes of the chaos test")
	work    = flag.String("work", "", "directory for the data and logs of nodes; none: a temporary one")
	report  = flag.Uint("report", 0, "open file descriptor to which the chaos test writes its progress and its table; 0: the test's log")
)

// checkLimit is how long the history of one register may take to be checked.
const checkLimit = time.Minute

// chaos is a run of the chaos test and what it found.
type chaos struct {
	t       *testing.T
	nemesis *nemesis
	clients *clients
	watch   *watch
	out     io.Writer
	checks  []check
}

// check is a row of the table: something that must hold.
type check struct {
	name, found string
	ok          bool
}

// N1, N2, N3, N6, P1, P2, P4, S6, M1, R1–R5: members are killed, paused, cut off and
// started again in random order under writes, strong reads and compare-and-swaps
// through all of them. Nothing that was acknowledged is lost, the history is
// linearizable, and all end in one state.
func TestChaos(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	c := &chaos{t: t, out: t.Output()}
	if *report != 0 {
		c.out = os.NewFile(uintptr(*report), "report")
	}
	c.say("chaos: %v minutes, %d nodes, seed %d", *minutes, *members, *seed)
	var disk *smallDisk
	m := newMesh(t, *members, func(n *node) {
		if disk == nil { // the first one's
			disk = newSmallDisk(t, n)
		}
	})
	c.clients = startClients(m.nodes, *seed)
	defer c.clients.stop()
	c.watch = newWatch(m)
	defer c.watch.end()
	stopped, cancel := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	c.nemesis = &nemesis{
		mesh: m, clients: c.clients, watch: c.watch, size: *members, stopped: stopped.Done(), rng: rand.New(rand.NewPCG(*seed, 1)), say: c.say, disk: disk,
		until: time.Now().Add(time.Duration(*minutes * float64(time.Minute))), count: map[string]int{},
	}
	defer c.table()
	c.nemesis.run()
	require.NoError(t, stopped.Err(), "interrupted")
	c.check()
}

func (c *chaos) say(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format+"\n", args...) }

// expect adds a row to the table.
func (c *chaos) expect(ok bool, name, format string, args ...any) {
	c.checks = append(c.checks, check{name, fmt.Sprintf(format, args...), ok})
	if !ok {
		c.t.Errorf("%s: "+format, append([]any{name}, args...)...)
	}
}

// check looks at the mended group.
func (c *chaos) check() {
	m := c.nemesis.mesh
	began := time.Now()
	c.nemesis.written(c.clients.history.now(), patience)
	c.clients.stop()
	index := agree(c.t, m.nodes)
	c.views()
	c.usage()
	c.expect(true, "R2, R3 digests equal", "at index %d on %d members, %v after mending", index, len(m.nodes), time.Since(began).Round(time.Millisecond))
	for _, n := range m.nodes {
		c.clients.once.check(c.t, n)
	}
	once := c.clients.once
	c.expect(!c.t.Failed(), "R1 nothing lost or doubled", "%d keys put once, %d refused, %d unknown", len(once.acked), len(once.refused), len(once.unknown))
	v := linearizable(c.clients.history.all(), checkLimit)
	for _, text := range v.transcripts {
		c.t.Logf("not linearizable:\n%s", text)
	}
	c.expect(len(v.wrong) == 0, "R4 linearizable", "%d registers of up to %d operations, %d of them open, checked in %v %s",
		v.keys, v.longest, v.open, v.took.Round(time.Millisecond), strings.Join(v.wrong, ", "))
	c.watch.end()
	c.expect(len(c.watch.wrong) == 0, "R5 one leader a term", "%d terms seen %s", len(c.watch.leaders), strings.Join(c.watch.wrong, "\n"))
	c.bars()
	c.expect(len(c.clients.odd) == 0, "answers", "odd ones: %v", c.clients.odd)
	for _, n := range m.nodes {
		c.nemesis.requireStopped(n)
		out, exit := run(c.t, "log", "verify", n.dir)
		c.expect(exit == 0, "ledger of "+n.name(), "%s", tail(out, 1))
	}
}

// views checks that all members see the same members: those that run (R5).
func (c *chaos) views() {
	nodes := c.nemesis.mesh.nodes
	var want []string
	for _, n := range nodes {
		want = append(want, n.ready.ID)
	}
	slices.Sort(want)
	same := true
	for _, n := range nodes {
		st, _ := n.status()
		var has []string
		for _, m := range st.Members {
			has = append(has, string(m.Peer))
		}
		slices.Sort(has)
		same = same && slices.Equal(want, has) && voters(st) == c.nemesis.size
	}
	c.expect(same, "R5 one view of the members", "%d members, %d of them vote", len(nodes), c.nemesis.size)
}

// What a process may take after a run, whose load is the same however long it is.
const (
	mostFiles  = 256
	mostMemory = 512 << 20
)

// usage checks that processes are back to what they need (R7).
func (c *chaos) usage() {
	var most usage
	for _, n := range c.nemesis.mesh.nodes {
		u, ok := n.usage(c.t)
		if !ok {
			return
		}
		most.files, most.memory, most.stored = max(most.files, u.files), max(most.memory, u.memory), max(most.stored, u.stored)
	}
	c.expect(most.files <= mostFiles && most.memory <= mostMemory, "R7 usage of a process", "at most %v", most)
}

// What has to happen in a minute, in runs of a minute and more: it was not chaos
// otherwise.
var leastPerMinute = map[string]int{kill9: 10, killLeader: 3, partitions: 3, pauses: 3}

const (
	leastAcks  = 1000 // in a minute
	medianGone = 3 * time.Second
)

// bars checks that enough was done, and how long the group was without a leader.
func (c *chaos) bars() {
	if *minutes < 1 {
		return
	}
	least := func(perMinute int) int { return int(float64(perMinute) * *minutes) }
	for _, kind := range actionKinds {
		if n := least(leastPerMinute[kind]); c.nemesis.count[kind] < n {
			c.expect(false, kind, "%d, of at least %d", c.nemesis.count[kind], n)
		}
	}
	acks := c.clients.acked()
	c.expect(acks >= least(leastAcks), "writes acknowledged", "%d, of at least %d", acks, least(leastAcks))
	median := quantile(c.nemesis.gaps(), 0.5)
	c.expect(median < medianGone, "median failover", "%v, below %v", median.Round(time.Millisecond), medianGone)
}

// table says what was done and what was found.
func (c *chaos) table() {
	c.clients.stop()
	var out strings.Builder
	for _, row := range c.nemesis.describe() {
		fmt.Fprintln(&out, row)
	}
	ops := c.clients.history.all()
	var of [askCAS + 1][unknown + 1]int
	for _, o := range ops {
		of[o.ask][o.outcome]++
	}
	fmt.Fprintf(&out, "\n%-34s %9s %9s %9s %9s\n", "operations", done, mismatch, refused, unknown)
	for a, row := range of {
		fmt.Fprintf(&out, "%-34s %9d %9d %9d %9d\n", ask(a), row[done], row[mismatch], row[refused], row[unknown])
	}
	gaps := c.nemesis.gaps()
	fmt.Fprintf(&out, "\n%-34s median %v, p99 %v, longest %v of %d\n", "no write after a leader's kill",
		quantile(gaps, 0.5).Round(time.Millisecond), quantile(gaps, 0.99).Round(time.Millisecond), quantile(gaps, 1).Round(time.Millisecond), len(gaps))
	for _, text := range c.nemesis.unclean {
		fmt.Fprintf(&out, "%-34s %s\n", "restart", text)
	}
	fmt.Fprintln(&out)
	for _, k := range c.checks {
		word := "ok"
		if !k.ok {
			word = "FAILED"
		}
		fmt.Fprintf(&out, "%-34s %-6s %s\n", k.name, word, k.found)
	}
	if c.t.Failed() {
		fmt.Fprintf(&out, "\nFAILED; seed %d; logs and data in %s\n", *seed, filepath.Dir(c.nemesis.mesh.nodes[0].log))
	}
	c.say("%s", out.String())
}
