package testnet

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
)

// P7: a leader that is asked to stop under load hands over and is out within
// 5 s; who writes through another member notices one failover at most.
func TestStopLeader(t *testing.T) {
	nodes := newGroup(t, 3)
	at := leader(t, nodes)
	l := startLoad(nodes, 1, 20*time.Second)
	defer l.stop()
	eventually(t, func() bool { return l.count() > 200 }, "a load")
	before, ok := nodes[at].status()
	require.True(t, ok)

	began := time.Now()
	nodes[at].process.signal(t, syscall.SIGTERM)
	exit := nodes[at].process.ends(t, 5*time.Second)
	stopped := time.Since(began)
	require.Zero(t, exit, nodes[at].said())
	require.Contains(t, nodes[at].said(), "handing leadership over")

	others := append(append([]*node{}, nodes[:at]...), nodes[at+1:]...)
	st := others[0].until("another leads", func(st logmesh.Status) bool { return st.Leader != "" && st.Leader != before.Peer })
	written := l.count()
	eventually(t, func() bool { return l.count() > written+200 }, "the load goes on")
	l.stop()
	for i := range nodes {
		if i != at {
			require.Zero(t, l.ended[i], "puts through %s that were not acknowledged: refused %v, unknown %v", nodes[i].dir, l.refused, l.unknown)
			require.Less(t, l.slowest[i], 5*time.Second, "one failover at most")
		}
	}
	agree(t, others)
	nodes[at].start()
	nodes[at].until("is back", online)
	agree(t, nodes)
	for _, n := range nodes {
		l.check(t, n)
	}
	t.Logf("out after %v, term %d → %d; slowest puts through each node %v (the leader was %d); unknown %d, all through the leader",
		stopped.Round(time.Millisecond), before.Term, st.Term, l.slowest, at, len(l.unknown))
}

// A second interrupt ends a node at once, whatever its clean stop waits for.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	nodes := newGroup(t, 2)
	at := leader(t, nodes)
	nodes[1-at].process.kill()
	go func() { // it cannot be answered: the other voter is gone
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, _ = nodes[at].api().Put(ctx, "k", []byte("v"))
	}()
	eventually(t, func() bool {
		st, ok := nodes[at].status()
		return ok && st.Last > st.Committed
	}, "a put is under way")
	p := nodes[at].process
	p.signal(t, os.Interrupt)
	eventually(t, func() bool { return strings.Contains(nodes[at].said(), "once more to stop at once") }, "it says that it stops")
	began := time.Now()
	p.signal(t, os.Interrupt)
	require.Equal(t, 1, p.ends(t, time.Second), "the exit status of an end at once")
	t.Logf("out %v after the second interrupt", time.Since(began).Round(time.Millisecond))

	// Nothing is broken by it.
	nodes[0].start()
	nodes[1].start()
	for _, n := range nodes {
		n.until("is back", online)
	}
	agree(t, nodes)
}
