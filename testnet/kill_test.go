package testnet

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

var (
	kills = flag.Int("kills", 4, "how many times the kill test kills members")
	seed  = flag.Uint64("seed", 0, "seed of the kill test; 0: one that is different each time")
)

// backWithin is how long a killed member may take to be back at the head.
const backWithin = 20 * time.Second

// P1, R1–R3, R5: members of a group are killed at random times under load, one,
// two or all at once, and started again. Nothing that was acknowledged is lost,
// and all end in the same state.
func TestKill(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("-seed %d", *seed)
	nodes := newGroup(t, 4)
	k := &killer{t: t, nodes: nodes, rng: rand.New(rand.NewPCG(*seed, 0)), leaders: map[codec.Term]string{}}
	l := startLoad(nodes, *seed, 5*time.Second)
	defer l.stop()
	for round := range *kills {
		k.pause(200*time.Millisecond, 1500*time.Millisecond)
		k.round(round == *kills-1 || round%5 == 4)
	}
	require.NoError(t, k.watched.Wait())
	settled := k.headed()
	before := l.count()
	eventually(t, func() bool { return l.count() > before }, "writes go on")
	l.stop()
	index := agree(t, nodes)
	for _, n := range nodes {
		l.check(t, n)
		n.until("sees nothing to worry about", func(st logmesh.Status) bool { return len(st.Alerts) == 0 })
	}
	t.Logf("%d rounds, %d kill -9; puts: %d acknowledged, 0 missing, %d unknown, %d refused; slowest recovery of a member %v, all at the head %v after the last restart; digests equal at index %d",
		*kills, k.killed, len(l.acked), len(l.unknown), len(l.refused), k.slowest.Round(time.Millisecond), settled.Round(time.Millisecond), index)
}

// killer kills members and starts them again.
type killer struct {
	t       *testing.T
	nodes   []*node
	rng     *rand.Rand
	killed  int
	started time.Time      // when the last restart began
	watched errgroup.Group // recoveries under way

	mu      sync.Mutex
	slowest time.Duration
	leaders map[codec.Term]string // seen so far
}

// pause waits for a random time.
func (k *killer) pause(least, most time.Duration) {
	<-time.After(least + time.Duration(k.rng.Int64N(int64(most-least))))
}

// round kills one member, sometimes two, or all, waits, and starts them again.
func (k *killer) round(all bool) {
	victims := k.rng.Perm(len(k.nodes))
	switch {
	case all:
	case k.rng.IntN(5) == 0:
		victims = victims[:2]
	case k.rng.IntN(3) == 0:
		victims = []int{leader(k.t, k.nodes)}
	default:
		victims = victims[:1]
	}
	head := k.head()
	var gone sync.WaitGroup
	for _, i := range victims {
		gone.Go(k.nodes[i].process.kill)
	}
	gone.Wait()
	k.killed += len(victims)
	k.pause(0, time.Second)
	for _, i := range victims {
		k.started = time.Now()
		k.nodes[i].start()
		k.watch(k.nodes[i], k.started, head)
	}
	if k.rng.IntN(2) == 0 {
		require.NoError(k.t, k.watched.Wait())
	}
}

// head is the highest index that any member knows to be committed.
func (k *killer) head() (head codec.Index) {
	for _, n := range k.nodes {
		if st, ok := n.status(); ok {
			head = max(head, st.Committed)
		}
	}
	return head
}

// watch follows a started member until it is back at head, or killed again.
func (k *killer) watch(n *node, began time.Time, head codec.Index) {
	p := n.process
	k.watched.Go(func() error {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for p.running() {
			st, ok := n.status()
			if ok {
				k.observe(st)
			}
			if ok && online(st) && st.Applied >= head {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.slowest = max(k.slowest, time.Since(began))
				return nil
			}
			if time.Since(began) > patience {
				return &lateError{n.dir, st}
			}
			<-tick.C
		}
		return nil
	})
}

// observe checks that a term has one leader (R5).
func (k *killer) observe(st logmesh.Status) {
	if st.Leader == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if other, ok := k.leaders[st.Term]; ok && other != string(st.Leader) {
		k.t.Errorf("term %d has two leaders: %s and %s", st.Term, other, st.Leader)
	}
	k.leaders[st.Term] = string(st.Leader)
}

// headed waits until all members are at the head that the group has now, and
// gives how long after the last restart that was.
func (k *killer) headed() time.Duration {
	head := k.head()
	for _, n := range k.nodes {
		n.until("is back at the head", func(st logmesh.Status) bool { return online(st) && st.Applied >= head })
	}
	took := time.Since(k.started)
	require.LessOrEqual(k.t, took, backWithin)
	require.LessOrEqual(k.t, k.slowest, backWithin)
	return took
}

// agree waits until all nodes have applied everything and sealed the same blocks,
// which a member does after it has told its commit index, and compares their digests
// at that one index (R3).
func agree(t *testing.T, nodes []*node) codec.Index {
	t.Helper()
	var all []logmesh.Status
	eventually(t, func() bool {
		all = all[:0]
		for _, n := range nodes {
			st, ok := n.status()
			if !ok || st.Applied != st.Committed || st.Applied != st.Last ||
				len(all) > 0 && (st.Applied != all[0].Applied || st.Blocks != all[0].Blocks) {
				return false
			}
			all = append(all, st)
		}
		return true
	}, "all have applied the same index and sealed the same blocks")
	for i, st := range all {
		require.Equal(t, all[0].Digest, st.Digest, "digest of %s at index %d", nodes[i].dir, st.Applied)
		require.Equal(t, all[0].Log, st.Log)
		require.Equal(t, all[0].Root, st.Root)
	}
	return all[0].Applied
}

type lateError struct {
	dir string
	st  logmesh.Status
}

func (e *lateError) Error() string { return fmt.Sprintf("%s is not back: %+v", e.dir, e.st) }
