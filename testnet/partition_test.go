package testnet

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
)

var (
	parted = flag.Duration("parted", 4*time.Second, "how long the partition test keeps a group parted")
	paused = flag.Duration("paused", 2*time.Second, "how long the pause test pauses a leader")
)

const (
	// election is how long a group of default timeouts may be without a leader:
	// an election timeout, and another if votes split.
	election = 4 * time.Second
	// redial is the longest wait before a lost peer is dialled again, with its
	// jitter; healing takes 2 s more at most.
	redial     = 6250 * time.Millisecond
	healWithin = redial + 2*time.Second
)

// asked is the answer to one request.
type asked struct {
	value string
	took  time.Duration
	err   error
}

// later asks in the background, for as long as d.
func later(n *node, d time.Duration, ask func(context.Context, *api.Client) (string, error)) <-chan asked {
	answer := make(chan asked, 1)
	client := n.api()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		began := time.Now()
		value, err := ask(ctx, client)
		answer <- asked{value, time.Since(began), err}
	}()
	return answer
}

func putLater(n *node, d time.Duration, key, value string) <-chan asked {
	return later(n, d, func(ctx context.Context, c *api.Client) (string, error) {
		_, err := c.Put(ctx, key, []byte(value))
		return "", err
	})
}

func getLater(n *node, d time.Duration, key string) <-chan asked {
	return later(n, d, func(ctx context.Context, c *api.Client) (string, error) {
		v, err := c.Get(ctx, key, api.Strong)
		return string(v.Data), err
	})
}

// lead makes the leader the first of the nodes.
func (m *mesh) lead() {
	m.t.Helper()
	at := leader(m.t, m.nodes)
	m.nodes[0], m.nodes[at] = m.nodes[at], m.nodes[0]
}

// ways are how two sides are parted: by connections that are closed and refused,
// or by connections that stay and are silent.
var ways = []string{"block", "mute"}

// N1, R3, R4: five voters are cut 2 ‖ 3 with the leader among the two. What the
// two are asked is never acknowledged; the three go on after an election; healed,
// all agree.
func TestMinorityNeverCommits(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 5)
	for _, way := range ways {
		m.minorityNeverCommits(way)
	}
}

func (m *mesh) minorityNeverCommits(way string) {
	t := m.t
	m.lead()
	few, many := m.nodes[:2], m.nodes[2:]
	require.NoError(t, (<-putLater(few[0], patience, "k", "before")).err)
	before := few[0].until("leads", online)

	m.part(way, few, many)
	began := time.Now()
	pending := []<-chan asked{putLater(few[0], election, "k", "few 0"), putLater(few[1], election, "k", "few 1")}
	wrote := <-putLater(many[0], patience, "k", "many")
	require.NoError(t, wrote.err)
	require.Less(t, wrote.took, election, "the three commit after an election")
	stale := []<-chan asked{getLater(few[0], election/2, "k"), getLater(few[1], election/2, "k")}
	few[0].until("steps down", func(st logmesh.Status) bool { return st.Role != "leader" })
	down := time.Since(began)
	require.Less(t, down, election)
	for _, p := range pending {
		a := <-p
		require.Error(t, a.err, "a put through the minority is acknowledged")
		require.Contains(t, []api.Code{api.CodeUnknown, api.CodeNoLeader}, codeOf(a.err), "%v", a.err)
	}
	for _, s := range stale {
		a := <-s
		require.Error(t, a.err, "a strong read in the minority is answered: %q", a.value)
	}
	for _, n := range few {
		st, ok := n.status()
		require.True(t, ok)
		require.LessOrEqual(t, st.Committed, before.Last, "the two committed something of their own")
	}
	read := <-getLater(many[1], patience, "k")
	require.NoError(t, read.err)
	require.Equal(t, "many", read.value)

	m.heal()
	healed := time.Now()
	agree(t, m.nodes)
	level := time.Since(healed)
	require.Less(t, level, healWithin)
	t.Logf("%s: the three committed %v after the cut, the leader of the two stepped down after %v; level %v after healing",
		way, wrote.took.Round(time.Millisecond), down.Round(time.Millisecond), level.Round(time.Millisecond))
	for _, n := range m.nodes {
		read := <-getLater(n, patience, "k")
		require.NoError(t, read.err)
		require.Contains(t, []string{"many", "few 0", "few 1"}, read.value)
	}
}

// N1: a lone voter of several never commits, and answers no strong read.
func TestLoneVoter(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3)
	m.lead()
	put(t, m.nodes[0], "k", "before")
	for _, alone := range []*node{m.nodes[0], m.nodes[1]} { // the leader, and another
		st := alone.until("is in", online)
		m.cut([]*node{alone}, m.others(alone))
		wrote := putLater(alone, election*2/3, "k", "alone") // long enough for an election
		read := getLater(alone, election*2/3, "k")
		require.Error(t, (<-wrote).err)
		require.Error(t, (<-read).err)
		now, ok := alone.status()
		require.True(t, ok)
		require.LessOrEqual(t, now.Committed, st.Last)
		require.NotEqual(t, "leader", now.Role)
		m.heal()
		agree(t, m.nodes)
	}
}

// N6, R3: a member is cut off for long while the others go on; once healed it is
// level within the wait between two dials and 2 s.
func TestPartitionHeals(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3)
	for _, way := range ways {
		m.lead()
		away := m.nodes[2]
		m.part(way, []*node{away}, m.others(away))
		head := m.writeFor(*parted)
		st, ok := away.status()
		require.True(t, ok)
		require.Less(t, st.Committed, head, "it was not cut off")
		m.heal()
		healed := time.Now()
		away.until("is level", func(st logmesh.Status) bool { return online(st) && st.Applied >= head })
		took := time.Since(healed)
		require.Less(t, took, healWithin)
		agree(t, m.nodes)
		t.Logf("%s: parted for %v, %d entries behind, level %v after healing", way, *parted, head-st.Committed, took.Round(time.Millisecond))
	}
}

// writeFor writes through the first two nodes for as long as d, and gives the
// index that is committed then.
func (m *mesh) writeFor(d time.Duration) codec.Index {
	m.t.Helper()
	ended := time.Now().Add(d)
	for i := 0; time.Now().Before(ended); i++ {
		require.NoError(m.t, (<-putLater(m.nodes[i%2], patience, "k", fmtInt(i))).err)
		<-time.After(50 * time.Millisecond)
	}
	return m.nodes[0].until("leads", online).Committed
}

// N3, R3, R5: two halves share one node. At most one leader commits, whoever
// leads, and nothing is lost.
func TestBridge(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 5)
	m.lead()
	w := newWatch(m)
	m.cut(m.nodes[:2], m.nodes[3:]) // nodes[2] is the bridge
	l := newLoad(time.Second)       // two of the five see no leader
	for i := range 12 {
		at := i % len(m.nodes)
		l.put(m.nodes[at], at, written+fmtInt(i), fmtInt(i))
	}
	require.NotEmpty(t, l.acked, "the bridge has a quorum on both sides, and nothing is written")
	m.heal()
	w.stop()
	agree(t, m.nodes)
	for _, n := range m.nodes {
		l.check(t, n)
	}
	t.Logf("%d of 12 puts acknowledged, %d unknown, %d refused; terms %d", len(l.acked), len(l.unknown), len(l.refused), len(w.leaders))
}

// N2: a leader that hears nobody is replaced, and so is one that nobody hears; a
// follower that hears nobody disturbs nobody. The terms grow by at most one in an
// election timeout.
func TestOneWay(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3)
	for _, mute := range []struct {
		name     string
		from, to func() []*node // who hears whom no more
	}{
		{"the leader hears nobody", func() []*node { return m.nodes[:1] }, func() []*node { return m.nodes[1:] }},
		{"nobody hears the leader", func() []*node { return m.nodes[1:] }, func() []*node { return m.nodes[:1] }},
		{"a follower hears nobody", func() []*node { return m.nodes[2:] }, func() []*node { return m.nodes[:2] }},
	} {
		m.lead()
		before := m.nodes[0].until("leads", online)
		began := time.Now()
		m.fault("mute", mute.from(), mute.to())
		wrote := <-putLater(m.nodes[1], patience, "k", mute.name)
		require.NoError(t, wrote.err, mute.name)
		require.Less(t, wrote.took, election, mute.name)
		<-time.After(election / 2)
		after := m.nodes[1].until("sees a leader", online)
		most := before.Term + codec.Term(time.Since(began)/time.Second) + 1
		require.LessOrEqual(t, after.Term, most, mute.name)
		m.heal()
		agree(t, m.nodes)
		t.Logf("%s: a put took %v, terms %d → %d in %v", mute.name, wrote.took.Round(time.Millisecond), before.Term, after.Term, time.Since(began).Round(time.Second))
	}
}

// P2, R4: a leader that was paused answers no strong read from before, and
// acknowledges nothing that the others do not have.
func TestPausedLeader(t *testing.T) {
	t.Parallel()
	m := newMesh(t, 3)
	for round := range 3 {
		m.lead()
		old := m.nodes[0]
		value := "round " + fmtInt(round)
		require.NoError(t, (<-putLater(old, patience, "k", "before "+value)).err)
		freed, over := m.pause(old), time.After(*paused)
		reads := []<-chan asked{}
		for range 4 { // they wait in its socket, and are read when it goes on
			reads = append(reads, getLater(old, 30*time.Second, "k"))
		}
		wrote := <-putLater(m.nodes[1], patience, "k", value)
		require.NoError(t, wrote.err)
		require.Less(t, wrote.took, election, "who does not answer is not waited for")
		<-over
		freed()
		reads = append(reads, getLater(old, 30*time.Second, "k"))
		for _, r := range reads {
			a := <-r
			if a.err == nil {
				require.Equal(t, value, a.value, "a stale strong read")
			} else {
				require.True(t, errors.Is(a.err, &api.Error{Code: api.CodeTimeout}) || errors.Is(a.err, &api.Error{Code: api.CodeNoLeader}), "%v", a.err)
			}
		}
		agree(t, m.nodes)
		t.Logf("a put through another took %v while the leader was paused", wrote.took.Round(time.Millisecond))
	}
}
