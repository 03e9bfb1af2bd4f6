//go:build chaos

package p2p

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// N6: a blocked peer loses its bond at once, is not let in however often it dials,
// and bonds again by itself once it is not blocked.
func TestBlock(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	c := start(t, 3, nil, a, b)
	bonded(t, a, b, c)
	require.NoError(t, a.net.Block(b.id()))
	cut, still := a.net.Links()
	require.Equal(t, []codec.PeerID{b.id()}, cut)
	require.Empty(t, still)
	require.Eventually(t, func() bool { return !a.has(b) && !b.has(a) }, patience, tick, "both see that the bond ended")
	require.Error(t, a.ask(b, patience))
	require.Error(t, b.ask(a, time.Second))
	require.Never(t, func() bool { return a.has(b) || b.has(a) }, time.Second, tick, "it is let in again")
	require.True(t, a.has(c) && b.has(c), "the other links stay")
	require.NoError(t, a.net.Unblock(b.id()))
	bonded(t, a, b, c)
	require.NoError(t, b.ask(a, patience))
}

// N2: nothing of a muted peer is heard, its bond stays, and it hears us; what it
// said meanwhile arrives afterwards.
func TestMute(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	hears := func(m *member, n int) func() bool { return func() bool { return len(m.raft) == n } }
	say := func(from, to *member, n uint64) {
		require.True(t, from.group.SendRaft(to.id(), 1, 2, &codec.Progress{Blocks: n}, false))
	}
	say(a, b, 1)
	say(b, a, 1)
	a.until(t, "hears", hears(a, 1))
	b.until(t, "hears", hears(b, 1))

	require.NoError(t, a.net.Mute(b.id()))
	say(a, b, 2)
	say(b, a, 2)
	b.until(t, "still hears", hears(b, 2))
	require.Error(t, a.ask(b, 200*time.Millisecond), "the answer is not heard")
	require.True(t, see(a.recorder, hears(a, 1)), "something of a muted peer was heard")
	require.True(t, a.has(b) && b.has(a))

	require.NoError(t, a.net.Unblock())
	a.until(t, "hears what was said", hears(a, 2))
	require.NoError(t, a.ask(b, patience))
}

// ask calls another member, for as long as limit.
func (m *member) ask(other *member, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := m.group.Call(ctx, other.id(), &codec.Members{})
	return err
}
