package virtual

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/p2p/p2ptest"
)

var long = flag.Bool("long", false, "run the scenarios at full rates and in all their forms")

// fast is a link that is never the bound.
const fast = 1000 * p2ptest.Mbit

// scenario is a catch-up of one new member from several.
type scenario struct {
	roundTrip time.Duration
	up        []int // each peer's uplink, in bits a second
	entry     int   // payload of an entry, in bytes
	bytes     int64 // of the log, at least
	down      int   // the joiner's downlink; d: fast

	lacks map[int]float64  // what share of the log a peer lacks at its end; d: none
	late  map[int]struct{} // peers that are not started
	lie   func(w *world, peer int) func(codec.FrameType, []byte) []byte

	voters int // how many of the peers vote; d: 3

	before func(w *world) // is called before anything starts
	ready  func(w *world) // and when the peers have a leader
	// until says when the catch-up has come to its end; d: when the log is applied.
	until func(w *world, st logmesh.Status) bool

	// during, if not nil, runs beside the catch-up, from its start on.
	during func(w *world)
}

// world is a scenario at work, in its bubble.
type world struct {
	t      *testing.T
	net    *p2ptest.Network
	peers  []*member
	joiner *member
	log    *logWriter
	leader int // among peers
	start  time.Time
}

// outcome is what a scenario came to.
type outcome struct {
	log    *logWriter
	leader int
	took   time.Duration   // from the moment when all peers were bonded to the log's last entry applied
	steps  []time.Duration // when something was applied, since then
	early  float64         // what share of the log was applied before: slow peers bond late
	sync   logmesh.SyncStatus
	peers  []codec.PeerID
}

// play runs a scenario in a bubble of its own.
func play(t *testing.T, s scenario) (o outcome) {
	t.Helper()
	w := &world{t: t, joiner: newMember(t, 0, p2ptest.Link{Up: fast, Down: max(s.down, fast*btoi(s.down == 0))})}
	for i, up := range s.up {
		w.peers = append(w.peers, newMember(t, i+1, p2ptest.Link{Up: up, Down: fast}))
	}
	if s.voters == 0 {
		s.voters = min(len(w.peers), 3)
	}
	w.log = writeLog(t, w.peers, s.voters, s.entry, s.bytes)
	for i, p := range w.peers {
		w.log.fillLedger(p, len(w.log.blocks)-int(s.lacks[i]*float64(len(w.log.blocks))))
	}
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		o = w.run(s)
		w.stop()
	})
	return o
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *world) run(s scenario) outcome {
	w.net = p2ptest.New(s.roundTrip)
	if s.before != nil {
		s.before(w)
	}
	for i, p := range w.peers {
		if s.lie != nil {
			p.faults.Rewrite = s.lie(w, i)
		}
		if _, late := s.late[i]; !late {
			p.start(w.t, w.net, w.peers)
		}
	}
	w.lead()
	if s.ready != nil {
		s.ready(w)
	}
	w.joiner.start(w.t, w.net, w.peers)
	w.joiner.wait(w.t, time.Minute, func(st logmesh.Status) bool { return len(st.Bonds) == len(w.peers)-len(s.late) })
	w.start = time.Now()
	if s.during != nil {
		go s.during(w)
	}
	st := w.await(10*time.Minute, s.until)
	o := outcome{log: w.log, leader: w.leader, peers: w.ids()}
	for _, step := range w.joiner.machine.applied() {
		o.steps = append(o.steps, step.at.Sub(w.start))
		if step.at.Before(w.start) {
			o.early = float64(step.last) / float64(w.log.last)
		}
	}
	i := slices.IndexFunc(w.joiner.machine.applied(), func(x step) bool { return x.last >= w.log.last })
	require.GreaterOrEqual(w.t, i, 0)
	o.took = o.steps[i]
	o.sync = *st.LastSync
	return o
}

// lead waits for a leader that all peers know.
func (w *world) lead() {
	for _, p := range w.peers {
		if p.group == nil {
			continue
		}
		st := p.wait(w.t, time.Minute, logmesh.Online)
		w.leader = slices.Index(w.ids(), st.Leader)
	}
}

func (w *world) ids() (ids []codec.PeerID) {
	for _, p := range w.peers {
		ids = append(ids, p.id)
	}
	return ids
}

// await waits until the joiner has applied the log and its session has ended.
func (w *world) await(patience time.Duration, until func(*world, logmesh.Status) bool) logmesh.Status {
	if until == nil {
		until = func(w *world, st logmesh.Status) bool { return st.Applied >= w.log.last && st.LastSync != nil }
	}
	return w.joiner.wait(w.t, patience, func(st logmesh.Status) bool { return until(w, st) })
}

// stop ends everything, and the last goroutines of libraries, which take a while.
func (w *world) stop() {
	for _, p := range append(w.peers, w.joiner) {
		p.stop(w.t)
	}
	w.net.Close()
	time.Sleep(time.Minute) // in a bubble
}

// raw is how long raw streams take for as many bytes as o took over the same
// links, each peer giving a share.
func raw(t *testing.T, s scenario, bytes int64, shares []float64) (took time.Duration) {
	t.Helper()
	sum := 0.0
	for _, x := range shares {
		sum += x
	}
	var links []p2ptest.Link
	var each []int64
	for i, x := range shares {
		if x > 0 {
			links = append(links, p2ptest.Link{Up: s.up[i], Down: fast})
			each = append(each, int64(float64(bytes)*x/sum))
		}
	}
	down := s.down
	if down == 0 {
		down = fast
		if !*long && slices.Max(s.up) == slices.Min(s.up) { // the streams do not meet: one says how long all take
			links, each = links[len(links)-1:], each[len(each)-1:]
			for i, x := range shares {
				if x == slices.Max(shares) {
					each[0] = int64(float64(bytes) * shares[i] / sum)
				}
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var err error
		took, err = p2ptest.Raw(s.roundTrip, p2ptest.Link{Up: fast, Down: down}, links, each)
		require.NoError(t, err)
		time.Sleep(time.Minute) // in a bubble
	})
	return took
}

// shares are what the peers can give, by their uplinks: a leader that is not alone
// is asked for a quarter.
func (s scenario) shares(leader int) []float64 {
	out := make([]float64, len(s.up))
	for i, up := range s.up {
		out[i] = float64(up)
		if i == leader && len(s.up) > 2 {
			out[i] /= 4
		}
	}
	return out
}

// gaps are the longest and the 99th percentile of the times between two batches
// that were applied.
func (o outcome) gaps() (p99, most time.Duration) {
	var gaps []time.Duration
	for i := 1; i < len(o.steps) && o.steps[i] <= o.took; i++ {
		gaps = append(gaps, o.steps[i]-o.steps[i-1])
	}
	slices.Sort(gaps)
	return gaps[len(gaps)*99/100], gaps[len(gaps)-1]
}

// peer is what was counted of one peer.
func (o outcome) peer(i int) (p logmesh.SyncPeer) {
	if at := slices.IndexFunc(o.sync.Peers, func(p logmesh.SyncPeer) bool { return p.Peer == o.peers[i] }); at >= 0 {
		p = o.sync.Peers[at]
	}
	return p
}

// share is what part of the log a peer gave.
func (o outcome) share(i int) float64 { return float64(o.peer(i).Bytes) / float64(o.log.bytes) }

// honest demands that no peer but those excepted was punished.
func (o outcome) honest(t *testing.T, except ...int) {
	t.Helper()
	for i := range o.peers {
		if p := o.peer(i); !slices.Contains(except, i) && (p.Rests > 0 || p.State == "out") {
			t.Errorf("peer %d was punished: %+v", i, p)
		}
	}
}

func (o outcome) String() string {
	p99, most := o.gaps()
	return fmt.Sprintf("%.1f MB in %.2f s; first after %v, between batches p99 %v, at most %v; doubled %.2f %%",
		float64(o.log.bytes)/1e6, o.took.Seconds(), o.steps[0].Round(time.Millisecond), p99.Round(time.Millisecond), most.Round(time.Millisecond),
		100*float64(o.sync.Doubled)/float64(o.log.bytes))
}
