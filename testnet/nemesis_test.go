package testnet

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
)

// nemesis does to a mesh what its random source says, until its time is over.
// What happens comes in decks: each has the same cards in another order, and some
// cards do more than one thing at once.
type nemesis struct {
	mesh    *mesh
	clients *clients
	watch   *watch
	rng     *rand.Rand
	until   time.Time
	disk    *smallDisk // nil: there is none
	say     func(format string, args ...any)

	count     map[string]int
	failovers []time.Duration // when a leader was killed while all was well, by the clients' clock
	unclean   []string        // what asked nodes to stop, and how they ended
	size      int             // members, when nobody was added who was not removed yet
	added     int
	stopped   <-chan struct{} // closed when the run is interrupted
}

// The kinds of actions, in the order of the table.
const (
	kill9         = "kill -9 (processes)"
	killLeader    = "kill -9 of the leader, timed"
	killEverybody = "kill -9 of everybody"
	pauses        = "pauses of 1 to 15 s"
	restarts      = "restarts by SIGTERM"
	partitions    = "partitions"
	silent        = "  of these silent"
	oneWay        = "  of these one-way"
	bridges       = "  of these with a bridge"
	fullDisks     = "full disks"
	additions     = "members added"
	removals      = "members removed"
	cutRemovals   = "  of these while cut off"
)

var actionKinds = []string{kill9, killLeader, killEverybody, pauses, restarts, partitions, silent, oneWay, bridges, fullDisks, additions, removals, cutRemovals}

// deck is what happens in about a minute.
func (n *nemesis) deck() []func() {
	return []func(){
		n.killLeader, n.killLeader, n.killLeader, n.killLeader,
		n.partition, n.partition, n.partition, n.partition,
		n.pause, n.pause, n.pause, n.pause,
		n.killSome, n.killSome, n.killAll,
		n.restart, n.fillDisk, n.changeMembers, n.changeMembers,
	}
}

// run plays decks until the time is over, and then mends everything.
func (n *nemesis) run() {
	for n.left() > 0 {
		deck := n.deck()
		n.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, card := range deck {
			if n.left() <= 0 {
				break
			}
			card()
			n.wait(100*time.Millisecond, 600*time.Millisecond)
		}
		n.say("%v left; %d kills, %d partitions, %d pauses, %d writes acknowledged", max(0, n.left()).Round(time.Second),
			n.count[kill9], n.count[partitions], n.count[pauses], n.clients.acked())
	}
	n.mend()
}

// left is the time that is left: none once the run is interrupted.
func (n *nemesis) left() time.Duration {
	select {
	case <-n.stopped:
		return 0
	default:
		return time.Until(n.until)
	}
}

// wait waits for a random time, or the end.
func (n *nemesis) wait(least, most time.Duration) {
	<-time.After(min(least+time.Duration(n.rng.Int64N(int64(most-least))), max(0, n.left())))
}

// some picks so many nodes at random.
func (n *nemesis) some(many int) (out []*node) {
	for _, i := range n.rng.Perm(len(n.mesh.nodes))[:many] {
		out = append(out, n.mesh.nodes[i])
	}
	return out
}

// leader is a node that says that it leads, in the highest term; nil: none.
func (n *nemesis) leader() (leads *node) {
	all := n.mesh.statuses(500 * time.Millisecond)
	var best logmesh.Status
	for i, st := range all {
		if st != nil && st.Role == "leader" && st.Term >= best.Term {
			leads, best = n.mesh.nodes[i], *st
		}
	}
	return leads
}

// settle waits, 10 s at most, until all nodes follow one leader.
func (n *nemesis) settle() (well bool) {
	ended := time.Now().Add(10 * time.Second)
	for time.Now().Before(ended) && n.left() > 0 {
		well := true
		var leads string
		for _, st := range n.mesh.statuses(time.Second) {
			well = well && st != nil && online(*st) && (leads == "" || leads == string(st.Leader))
			if well {
				leads = string(st.Leader)
			}
		}
		if well {
			return true
		}
		<-time.After(pollEvery)
	}
	return false
}

func (n *nemesis) kill(nodes ...*node) {
	n.mesh.did("kill", nodes...)
	var gone sync.WaitGroup
	for _, v := range nodes {
		gone.Go(v.process.kill)
	}
	gone.Wait()
	n.count[kill9] += len(nodes)
}

// killLeader kills the leader while all is well, and starts it again once
// somebody else took a write.
func (n *nemesis) killLeader() {
	well := n.settle()
	victim := n.leader()
	if victim == nil {
		return
	}
	at := n.clients.history.now()
	n.kill(victim)
	if well {
		n.count[killLeader]++
		n.failovers = append(n.failovers, at)
	}
	n.written(at+300*time.Millisecond, 10*time.Second)
	n.mesh.start(victim)
}

// written waits until a write was acknowledged after at, or for d.
func (n *nemesis) written(at, d time.Duration) {
	ended := time.Now().Add(d)
	for n.clients.lastAck() <= at && time.Now().Before(ended) {
		<-time.After(pollEvery)
	}
}

// minority is a random number of nodes that leaves a majority of them, at least
// one.
func (n *nemesis) minority() int {
	return 1 + n.rng.IntN(max(1, (len(n.mesh.nodes)-1)/2))
}

func (n *nemesis) killSome() {
	victims := n.some(n.minority())
	n.kill(victims...)
	n.wait(0, 1500*time.Millisecond)
	n.mesh.start(victims...)
}

func (n *nemesis) killAll() {
	n.count[killEverybody]++
	n.kill(n.mesh.nodes...)
	n.mesh.start(n.mesh.nodes...)
	n.written(n.clients.history.now(), 20*time.Second)
}

// pause stops a node, often the leader, and sometimes cuts or kills others
// meanwhile.
func (n *nemesis) pause() {
	victim := n.some(1)[0]
	if leads := n.leader(); leads != nil && n.rng.IntN(2) == 0 {
		victim = leads
	}
	long := time.Second + time.Duration(14*cube(n.rng.Float64())*float64(time.Second))
	resume := n.mesh.pause(victim)
	defer resume()
	n.count[pauses]++
	over := time.After(min(long, max(0, n.left())))
	if n.rng.IntN(3) == 0 {
		other := n.mesh.others(victim)[n.rng.IntN(len(n.mesh.nodes)-1)]
		n.kill(other)
		n.wait(0, time.Second)
		n.mesh.start(other)
	}
	<-over
}

func cube(x float64) float64 { return x * x * x }

// restart asks a node to stop, and starts it again.
func (n *nemesis) restart() {
	n.count[restarts]++
	victim := n.some(1)[0]
	n.mesh.did("stop", victim)
	victim.process.signal(n.mesh.t, syscall.SIGTERM)
	began := time.Now()
	exit := victim.process.ends(n.mesh.t, 30*time.Second)
	if took := time.Since(began); exit != 0 || took > 5*time.Second {
		n.unclean = append(n.unclean, fmt.Sprintf("%s ended with status %d after %v", victim.name(), exit, took.Round(time.Millisecond)))
	}
	n.mesh.start(victim)
}

// partition cuts links in one of several ways, for 1.5 to 5 s; sometimes somebody
// is killed meanwhile.
func (n *nemesis) partition() {
	n.count[partitions]++
	n.cut()
	if n.rng.IntN(3) == 0 {
		n.wait(200*time.Millisecond, time.Second)
		victims := n.some(1)
		n.kill(victims...)
		n.wait(100*time.Millisecond, time.Second)
		n.mesh.start(victims...)
	}
	n.wait(1500*time.Millisecond, 5*time.Second)
	n.mesh.heal()
}

func (n *nemesis) cut() {
	all := n.some(len(n.mesh.nodes))
	if leads := n.leader(); leads != nil && n.rng.IntN(2) == 0 { // it is often on the smaller side
		i := slices.Index(all, leads)
		all[0], all[i] = all[i], all[0]
	}
	few := n.minority()
	switch n.rng.IntN(7) {
	case 0: // one alone
		n.mesh.cut(all[:1], all[1:])
	case 1, 2: // a minority
		n.mesh.cut(all[:few], all[few:])
	case 6: // a minority, whose connections stay
		n.count[silent]++
		n.mesh.part("mute", all[:few], all[few:])
	case 3: // halves that share one node
		n.count[bridges]++
		half := len(all) / 2
		n.mesh.cut(all[:half], all[half+1:])
	case 4: // some hear nothing of the others
		n.count[oneWay]++
		n.mesh.fault("mute", all[:few], all[few:])
	case 5: // the others hear nothing of some
		n.count[oneWay]++
		n.mesh.fault("mute", all[few:], all[:few])
	}
}

// mend ends everything that the nemesis did.
func (n *nemesis) mend() {
	n.mesh.heal()
	for _, v := range n.mesh.nodes {
		if !v.process.running() {
			n.mesh.start(v)
		}
	}
}

// fillDisk fills the file system of the node that has a small one.
func (n *nemesis) fillDisk() {
	if n.disk == nil {
		return
	}
	n.count[fullDisks]++
	n.mesh.did("fill the disk of", n.disk.node)
	n.disk.fill(n.mesh.t)
	n.wait(2*time.Second, 4*time.Second)
	n.disk.free(n.mesh.t)
	n.mesh.did("free the disk of", n.disk.node)
}

// describe is the counts as rows of the table.
func (n *nemesis) describe() (rows []string) {
	for _, kind := range actionKinds {
		rows = append(rows, fmt.Sprintf("%-34s %6d", kind, n.count[kind]))
	}
	if n.disk == nil {
		rows = append(rows, "no full disks: they need the right to mount a file system")
	}
	return rows
}

// gaps are the times without an acknowledged write after the timed kills, in
// order of length.
func (n *nemesis) gaps() (out []time.Duration) {
	for _, at := range n.failovers {
		out = append(out, n.clients.gap(at))
	}
	slices.Sort(out)
	return out
}

// quantile of sorted durations, the higher of two neighbours.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// requireStopped stops a node and fails the test if it does not end cleanly.
func (n *nemesis) requireStopped(v *node) {
	v.process.signal(n.mesh.t, syscall.SIGTERM)
	require.Zero(n.mesh.t, v.process.ends(n.mesh.t, 10*time.Second), strings.TrimSpace(tail(v.said(), 20)))
}
