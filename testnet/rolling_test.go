package testnet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// P8: a rolling restart of a whole group under load. Every node is stopped as a
// service manager does, and started again once the one before it is back; the
// leader comes when its turn does. No put through a node that runs fails, and
// none takes longer than one failover.
func TestRollingRestart(t *testing.T) {
	nodes := newGroup(t, 3)
	l := startLoad(nodes, 2, 20*time.Second)
	defer l.stop()
	eventually(t, func() bool { return l.count() > 100 }, "a load")
	for i, n := range nodes {
		before := l.endedAt()
		n.stop()
		n.start()
		n.until("is back", online)
		written := l.count()
		eventually(t, func() bool { return l.count() > written+50 }, "the load goes on")
		after := l.endedAt()
		for other := range nodes {
			if other != i {
				require.Equal(t, before[other], after[other], "puts through %s that were not acknowledged while %s restarted: refused %v, unknown %v",
					nodes[other].dir, n.dir, l.refused, l.unknown)
			}
		}
	}
	l.stop()
	agree(t, nodes)
	for i, n := range nodes {
		require.Less(t, l.slowest[i], 5*time.Second, "one failover at most")
		l.check(t, n)
	}
	t.Logf("%d puts acknowledged; slowest through each node %v; not acknowledged, through the node that restarted: %v", l.count(), l.slowest, l.ended)
}

// endedAt is how many puts through each node were not acknowledged so far.
func (l *load) endedAt() map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[int]int{}
	for i, n := range l.ended {
		out[i] = n
	}
	return out
}
