package p2p

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

func TestTwoNodesBond(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	require.Equal(t, logID(1), see(b.recorder, func() codec.LogID { return b.bonds[a.id()] }))
	require.True(t, see(b.recorder, func() bool { return b.boots[a.id()] }), "a is b's bootstrap peer")
	require.False(t, see(a.recorder, func() bool { return a.boots[b.id()] }), "b is not a's")
	require.Equal(t, []codec.PeerID{b.id()}, a.group.Bonds())
	require.Empty(t, a.refusals)
}

// Three nodes of which each knows only the first all find each other.
func TestNodesFindEachOtherByGossip(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	c := start(t, 3, nil, a)
	bonded(t, a, b, c)
	require.False(t, see(c.recorder, func() bool { return c.boots[b.id()] }))
}

// What differs beyond the names is told apart by name, on both sides.
func TestBondMatrix(t *testing.T) {
	log := func(id codec.LogID) func(*GroupConfig) {
		return func(c *GroupConfig) { c.Log = func() codec.LogID { return id } }
	}
	for _, test := range []struct {
		name   string
		change func(*GroupConfig)
		field  string
		theirs string // the joiner's value, as the member sees it
	}{
		{"machine", func(c *GroupConfig) { c.Machine = "counter/1" }, "machine", "counter/1"},
		{"log", log(logID(9)), "log", logID(9).String()},
		{"no log yet", log(codec.LogID{}), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := start(t, 1, nil)
			b := start(t, 2, test.change, a)
			if test.field == "" {
				bonded(t, a, b)
				return
			}
			refused(t, a, b, test.field, test.theirs)
			refused(t, b, a, test.field, "")
			require.Empty(t, a.group.Bonds())
			require.Empty(t, b.group.Bonds())
		})
	}
}

// A member that comes back with the log from before a recovery is refused, and
// both sides say so, whichever of the two dials: where the recovery was, that the
// directory is to be kept, and how the node comes back. Without a bond it neither
// votes, nor is elected, nor serves a block: its streams are not served.
func TestLogEndedByARecovery(t *testing.T) {
	before := []codec.Recovery{{Log: logID(7), Index: 90}, {Log: logID(8), Index: 120}}
	recovered := func(c *GroupConfig) {
		c.Log = func() codec.LogID { return logID(9) }
		c.Before = func() []codec.Recovery { return before }
	}
	returning := func(c *GroupConfig) { c.Log = func() codec.LogID { return logID(8) } }
	unrelated := func(c *GroupConfig) { c.Log = func() codec.LogID { return logID(6) } }
	why := func(m, other *member) *RefusedError {
		m.until(t, "a refusal", func() bool { return len(m.refusals[other.id()]) > 0 })
		var e *RefusedError
		require.ErrorAs(t, see(m.recorder, func() error { return m.refusals[other.id()][0] }), &e)
		require.Equal(t, "log", e.Field)
		return e
	}
	check := func(group, old *member) {
		e := why(old, group)
		require.EqualValues(t, 120, e.OursEnded)
		require.Zero(t, e.TheirsEnded)
		require.Equal(t, logID(8).String(), e.Ours)
		require.Equal(t, logID(9).String(), e.Theirs)
		require.ErrorContains(t, e, "the group was recovered at index 120, without this node")
		require.ErrorContains(t, e, "move the directory away and join again from an empty one")
		e = why(group, old)
		require.EqualValues(t, 120, e.TheirsEnded)
		require.Zero(t, e.OursEnded)
		require.ErrorContains(t, e, "theirs ended when this group was recovered at index 120")
		for _, m := range []*member{group, old} {
			require.Empty(t, m.group.Bonds())
			require.Empty(t, m.events)
		}
		require.False(t, old.group.SendRaft(group.id(), 1, 2, &codec.RaftBatch{Messages: [][]byte{{1}}}, false))
		_, err := old.group.OpenSync(t.Context(), group.id())
		require.Error(t, err)
		_, err = group.group.OpenSync(t.Context(), old.id())
		require.Error(t, err, "nor is it asked for blocks")
		require.Empty(t, see(group.recorder, func() []codec.Message { return group.raft }))
	}
	t.Run("the old one dials", func(t *testing.T) {
		group := start(t, 1, recovered)
		check(group, start(t, 2, returning, group))
	})
	t.Run("the group dials", func(t *testing.T) {
		old := start(t, 1, returning)
		check(start(t, 2, recovered, old), old)
	})
	t.Run("another founding", func(t *testing.T) {
		group := start(t, 1, recovered)
		other := start(t, 2, unrelated, group)
		for _, e := range []*RefusedError{why(group, other), why(other, group)} {
			require.Zero(t, e.OursEnded+e.TheirsEnded)
			require.NotContains(t, e.Error(), "recovered")
		}
	})
}

func TestBondRefusesAnotherVersion(t *testing.T) {
	a := start(t, 1, nil)
	n := startNet(t, config(2, a.net.Addrs()...))
	b := &member{recorder: newRecorder(), net: n}
	var err error
	b.group, err = n.openGroup(groupConfig(b.recorder), 2)
	require.NoError(t, err)
	refused(t, a, b, "version", "2")
	refused(t, b, a, "version", "1")
}

// refused waits until m is told once that other differs in field.
func refused(t *testing.T, m, other *member, field, theirs string) {
	t.Helper()
	m.until(t, "a refusal", func() bool { return len(m.refusals[other.id()]) > 0 })
	all := see(m.recorder, func() []error { return m.refusals[other.id()] })
	require.Len(t, all, 1)
	var e *RefusedError
	require.ErrorAs(t, all[0], &e)
	require.Equal(t, field, e.Field)
	require.NotEqual(t, e.Ours, e.Theirs)
	if theirs != "" {
		require.Equal(t, theirs, e.Theirs)
	}
	require.Contains(t, all[0].Error(), string(other.id()))
}

// A node with the wrong key gets a clear error and nothing else; the member is
// told once, although the node keeps trying.
func TestWrongKey(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, func(c *GroupConfig) { c.Key = groupKey(2) }, a)
	for _, m := range []*member{a, b} {
		m.until(t, "wrong key", func() bool { return len(m.refusals) == 1 })
		for _, errs := range m.refusals {
			require.Len(t, errs, 1)
			require.ErrorIs(t, errs[0], ErrWrongKey)
		}
	}
	// Trying again, at once and often, changes nothing.
	for range 5 {
		_, err := b.group.Call(context.Background(), a.id(), &codec.Members{})
		require.ErrorIs(t, err, ErrWrongKey)
	}
	require.Len(t, see(a.recorder, func() []error { return a.refusals[b.id()] }), 1)
	require.Len(t, see(b.recorder, func() []error { return b.refusals[a.id()] }), 1)
	require.Empty(t, a.events)
	require.Empty(t, b.events)
	require.Eventually(t, func() bool { return !a.net.connected(b.net.id) }, patience, tick, "connection closed")
}

// A stranger that sends our own proof back proves nothing: neither as listener
// nor, having made us dial, with a proof of ours as dialer.
func TestEchoOfOurProofFails(t *testing.T) {
	a := start(t, 1, nil)
	stranger := startNet(t, config(2))
	echoed := make(chan struct{}, 16)
	stranger.host.SetStreamHandler(protoBond, func(s network.Stream) {
		defer s.Close()
		var hello codec.Hello
		var proof codec.Proof
		if receive(s, &hello) != nil || sendTo(s, &hello) != nil || receive(s, &proof) != nil {
			return
		}
		_ = sendTo(s, &codec.Accept{MAC: proof.MAC, Log: proof.Log, Machine: proof.Machine, Version: proof.Version})
		echoed <- struct{}{}
	})
	p := stranger.host.ID()
	require.NoError(t, a.net.connect(t.Context(), p, stranger.host.Addrs()))
	err := a.group.dialBond(t.Context(), p)
	<-echoed
	require.ErrorIs(t, err, ErrWrongKey)
	require.Empty(t, a.group.Bonds())
}

// Each field of what a proof covers matters.
func TestProofCoversEverything(t *testing.T) {
	key := derive(groupKey(1), bondLabel)
	x := exchange{group: logID(1), dialer: "d", listener: "l", dialerNonce: logID(2), listenerNonce: logID(3)}
	c := claims{log: logID(4), machine: "kv/1", version: 1}
	mac := x.prove(key, sideDialer, c)
	require.True(t, x.proved(key, sideDialer, c, mac))
	require.False(t, x.proved(derive(groupKey(2), bondLabel), sideDialer, c, mac), "key")
	require.False(t, x.proved(derive(groupKey(1), gossipLabel), sideDialer, c, mac), "label of the key")
	require.False(t, x.proved(key, sideListener, c, mac), "side")
	for name, change := range map[string]func(*exchange, *claims){
		"group":          func(x *exchange, _ *claims) { x.group = logID(9) },
		"dialer":         func(x *exchange, _ *claims) { x.dialer = "l" },
		"listener":       func(x *exchange, _ *claims) { x.listener = "d" },
		"field borders":  func(x *exchange, _ *claims) { x.dialer, x.listener = "dl", "" },
		"dialer nonce":   func(x *exchange, _ *claims) { x.dialerNonce = logID(9) },
		"listener nonce": func(x *exchange, _ *claims) { x.listenerNonce = logID(9) },
		"log":            func(_ *exchange, c *claims) { c.log = logID(9) },
		"machine":        func(_ *exchange, c *claims) { c.machine = "kv/2" },
		"version":        func(_ *exchange, c *claims) { c.version = 2 },
	} {
		x2, c2 := x, c
		change(&x2, &c2)
		require.False(t, x2.proved(key, sideDialer, c2, mac), name)
	}
}

// A connection that is lost is made anew, and so is the bond.
func TestBondReturnsAfterConnectionLoss(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	for _, c := range a.net.host.Network().ConnsToPeer(b.net.id) {
		require.NoError(t, c.Close())
	}
	for _, m := range []*member{a, b} {
		other := map[*member]*member{a: b, b: a}[m]
		want := []string{"bonded " + string(other.id()), "unbonded " + string(other.id()), "bonded " + string(other.id())}
		m.until(t, "a new bond", func() bool { return len(m.events) >= 3 })
		require.Equal(t, want, see(m.recorder, func() []string { return m.events[:3] }))
	}
}

// A bond that only one side has seen to end is made anew on both.
func TestBondLostOnOneSide(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	b.group.unbond(a.net.id, nil)
	for _, m := range []*member{a, b} {
		m.until(t, "a new bond", func() bool { return len(m.events) == 3 && len(m.bonds) == 1 })
	}
}

// A member that comes back on another port, as another process would, is
// bonded with again.
func TestMemberComesBack(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	require.NoError(t, b.net.Close())
	a.until(t, "unbonded", func() bool { return len(a.bonds) == 0 })
	again := start(t, 2, nil, a)
	bonded(t, a, again)
}

// A bootstrap peer that starts later is found; all of them may be down at first
// (fault N7).
func TestBootstrapPeerStartsLater(t *testing.T) {
	first := startNet(t, config(1))
	addrs := first.Addrs()
	require.NoError(t, first.Close())
	b := open(t, startNet(t, config(2, addrs...)), nil)
	cfg := config(1)
	cfg.Listen = []string{strings.Split(addrs[0], "/p2p/")[0]}
	a := open(t, startNet(t, cfg), nil)
	bonded(t, a, b)
}

// A group that is closed and opened again in one process is another
// incarnation: the other side is told.
func TestGroupReopened(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	require.NoError(t, b.group.Close())
	again := open(t, b.net, nil)
	bonded(t, a, again)
	a.until(t, "a new bond", func() bool { return len(a.events) >= 3 })
	_, err := a.group.Call(t.Context(), again.id(), &codec.Members{})
	require.NoError(t, err)
}

// A peer that bonded without a log id and turns out to have another log is told
// apart.
func TestLogsThatBecomeKnownLater(t *testing.T) {
	var known atomic.Bool
	later := func(c *GroupConfig) {
		c.Log = func() codec.LogID {
			if known.Load() {
				return logID(7)
			}
			return codec.LogID{}
		}
	}
	a := start(t, 1, nil)
	b := start(t, 2, later, a)
	bonded(t, a, b)
	known.Store(true)
	b.group.Rebond()
	refused(t, b, a, "log", logID(1).String())
	require.Empty(t, b.group.Bonds())
	a.until(t, "unbonded", func() bool { return len(a.bonds) == 0 || len(a.refusals) > 0 })
}

// The Open of a stream carries the log id, and is checked.
func TestStreamOfAnotherLogIsReset(t *testing.T) {
	var known atomic.Bool
	a := start(t, 1, nil)
	b := start(t, 2, func(c *GroupConfig) {
		c.Log = func() codec.LogID {
			if known.Load() {
				return logID(7)
			}
			return codec.LogID{}
		}
	}, a)
	bonded(t, a, b)
	known.Store(true)
	_, err := b.group.Call(t.Context(), a.id(), &codec.Members{})
	require.Error(t, err)
	refused(t, a, b, "log", logID(7).String())
}

// Both may dial at the same time: one bond, told once.
func TestBothDial(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil)
	know := func(m, other *member) {
		m.group.Know([]codec.Member{{RaftID: 1, Peer: other.id(), Role: codec.RoleVoter, Addrs: texts(other.net.host.Addrs())}})
	}
	know(a, b)
	know(b, a)
	bonded(t, a, b)
	require.NoError(t, a.group.dialBond(t.Context(), b.net.id)) // a second proof is harmless
	require.Len(t, see(a.recorder, func() []string { return a.events }), 1)
	require.Len(t, see(b.recorder, func() []string { return b.events }), 1)
}

// A peer that opens a bond stream and says nothing is cut off, and those that
// do so in numbers find no room.
func TestUnprovedBondsAreBounded(t *testing.T) {
	a := start(t, 1, nil)
	a.net.wait.bond = 500 * time.Millisecond
	stranger := startNet(t, config(2))
	require.NoError(t, stranger.connect(t.Context(), a.net.id, a.net.host.Addrs()))
	var streams []network.Stream
	for range 3 {
		s, err := stranger.host.NewStream(t.Context(), a.net.id, protoBond)
		require.NoError(t, err)
		require.NoError(t, sendTo(s, &codec.Hello{Group: a.group.id}))
		streams = append(streams, s)
	}
	var refused int
	for _, s := range streams {
		_ = s.SetReadDeadline(time.Now().Add(patience))
		var hello codec.Hello
		if err := receive(s, &hello); errors.Is(explain(err), ErrBusy) {
			refused++
		}
	}
	require.Equal(t, 1, refused, "two of one stranger at a time")
	for _, s := range streams { // the others end at their deadline
		_ = s.SetReadDeadline(time.Now().Add(patience))
		_, err := s.Read(make([]byte, 1))
		require.ErrorIs(t, err, network.ErrReset)
	}
}
