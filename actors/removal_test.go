package actors

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// Any member knows from its own log whom it may tell that it was removed: never
// somebody who may be newer than that log, and never a joiner.
func TestRemovedFrom(t *testing.T) {
	config := codec.Configuration{
		Index: 20, Members: []codec.Member{{RaftID: 1, Peer: "a", Role: codec.RoleVoter}},
		Removed: []codec.Removal{{RaftID: 7, Index: 12}},
	}
	for name, c := range map[string]struct {
		from codec.RaftID
		m    codec.Message
		at   codec.Index
		gone bool
	}{
		"a member":                       {1, &codec.Progress{RaftApplied: 5}, 0, false},
		"removed":                        {7, &codec.RaftBatch{}, 12, true},
		"removed, whatever it says":      {7, &codec.Progress{RaftApplied: 50}, 12, true},
		"forgotten, older than our log":  {8, &codec.Progress{RaftApplied: 19}, 20, true},
		"unknown, added after our log":   {8, &codec.Progress{RaftApplied: 20}, 0, false},
		"unknown, a joiner that answers": {8, &codec.RaftBatch{}, 0, false},
		"unknown, the opening":           {8, &codec.RaftOpen{}, 0, false},
	} {
		at, gone := removedFrom(config, c.from, c.m)
		require.Equal(t, c.gone, gone, name)
		if gone {
			require.Equal(t, c.at, at, name)
		}
	}
}

// requireRemoved waits until the group has stopped because of a removal.
func (x *lone) requireRemoved(at codec.Index) {
	x.t.Helper()
	<-x.Done()
	var removed *RemovedError
	require.ErrorAs(x.t, x.Err(), &removed)
	require.Equal(x.t, at, removed.Index)
	require.ErrorIs(x.t, removed, ErrRemoved)
	require.Equal(x.t, at, x.cfg.Ledger.Removed(), "the next start knows")
	_, err := x.Change(x.context(), &codec.Remove{RaftID: 5})
	require.ErrorIs(x.t, err, ErrStopped)
}

// M1: a member that a peer tells of its removal stops; what is older than its own
// log is no news.
func TestToldOfRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		x.execute("a")
		x.RaftAnswered("peer", &codec.RemovedAt{Index: 1})
		synctest.Wait()
		require.NoError(t, x.Err())
		require.Zero(t, x.cfg.Ledger.Removed())
		x.RaftAnswered("peer", &codec.RemovedAt{Index: 100})
		x.requireRemoved(100)
	})
}

// Who is no member yet was not removed, whatever peers say; but the leader's word
// at its Join counts.
func TestJoinerOfRemovedId(t *testing.T) {
	log := newLog(t, 2, 1000, "a")
	synctest.Test(t, func(t *testing.T) {
		peer := members(log, 1, 2)[0]
		var mu sync.Mutex
		removed := false
		net := &fakeNetwork{bonds: []codec.PeerID{peer.id}}
		net.open = func(context.Context, codec.PeerID) (Stream, error) {
			ours, theirs := streamPair(1 << 20)
			go peer.serve(theirs)
			return ours, nil
		}
		net.call = func(_ context.Context, _ codec.PeerID, m codec.Message) (codec.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			if _, members := m.(*codec.Members); members {
				return votersAnswer(peer.id), nil
			}
			if removed {
				return codec.Answer{Status: codec.CallRemoved, Index: 300}, nil
			}
			return codec.Answer{Status: codec.CallUnavailable}, nil
		}
		x := newLone(t, false, net)
		x.Bonded(peer.id, codec.LogID{}, true)
		require.NoError(t, x.Applied(x.context(), log.ends[1].Index))
		x.RaftAnswered(peer.id, &codec.RemovedAt{Index: 1000})
		time.Sleep(3 * time.Second)
		require.NoError(t, x.Err())
		mu.Lock()
		removed = true
		mu.Unlock()
		x.requireRemoved(300)
	})
}

// What an operator asks ends with the leader's reason, or says what is unknown.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		x.execute("a")
		mine := x.cfg.Ledger.RaftID()
		var refused *RefusedError
		for _, m := range []codec.Message{
			&codec.Remove{RaftID: mine}, &codec.Remove{RaftID: mine + 1}, &codec.Promote{RaftID: mine + 1}, &codec.Transfer{RaftID: mine + 1},
		} {
			_, err := x.Change(x.context(), m)
			require.ErrorAs(t, err, &refused, "%T", m)
			require.NotEmpty(t, refused.Reason)
		}
		require.ErrorAs(t, x.Leave(x.context()), &refused, "the last voter stays")
		require.False(t, x.leaving.Load())
		x.execute("b")
		_, err := x.Change(x.context(), &codec.Transfer{RaftID: mine})
		require.NoError(t, err, "it leads already")
		config, err := x.Change(x.context(), &codec.Retarget{Voters: 5})
		require.NoError(t, err)
		require.Equal(t, 5, config.Target)
	})
}

func TestChangePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, false, &fakeNetwork{}) // no leader
		_, err := x.Change(x.context(), &codec.Remove{RaftID: 5})
		var pending *PendingError
		require.ErrorAs(t, err, &pending)
		require.False(t, pending.Maybe, "nobody has it")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// A leader elsewhere that does not answer, or only promises, may yet do it.
func TestChangeMaybe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		answer, err := codec.Answer{}, errNoNetwork
		net := &fakeNetwork{call: func(context.Context, codec.PeerID, codec.Message) (codec.Answer, error) {
			mu.Lock()
			defer mu.Unlock()
			return answer, err
		}}
		x := newLone(t, false, net)
		synctest.Wait()
		x.raft.view.Store(&consensusView{leader: "other"})
		var pending *PendingError
		_, got := x.Change(x.context(), &codec.Remove{RaftID: 5})
		require.ErrorAs(t, got, &pending)
		require.True(t, pending.Maybe)
		require.ErrorContains(t, got, "the leader did not answer")
		mu.Lock()
		answer, err = codec.Answer{Status: codec.CallUnavailable, Reason: "it must wait"}, nil
		mu.Unlock()
		_, got = x.Change(x.context(), &codec.Remove{RaftID: 5})
		require.ErrorContains(t, got, "not done yet (it must wait)")
		require.ErrorAs(t, got, &pending)
		require.True(t, pending.Maybe)
		time.AfterFunc(time.Second, func() {
			mu.Lock()
			defer mu.Unlock()
			answer = codec.Answer{Status: codec.CallOK, Config: codec.Configuration{Index: 9}}
		})
		config, got := x.Change(x.context(), &codec.Remove{RaftID: 5})
		require.NoError(t, got, "it asks again")
		require.EqualValues(t, 9, config.Index)
	})
}

// M1: whoever was removed is told by any member, and no message of it is stepped.
func TestAnyMemberTellsTheRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, false, &fakeNetwork{}) // it does not lead
		synctest.Wait()
		x.raft.view.Store(&consensusView{config: codec.Configuration{Index: 20, Removed: []codec.Removal{{RaftID: 7, Index: 12}}}})
		open := codec.RaftOpen{From: 7, To: x.cfg.Ledger.RaftID()}
		for _, m := range []codec.Message{&open, &codec.RaftBatch{Messages: [][]byte{{1}}}, &codec.Progress{}} {
			require.Equal(t, []codec.Message{&codec.RemovedAt{Index: 12}}, x.RaftReceived("gone", open, m))
		}
		require.Empty(t, x.raftCredit)
	})
}

// A member that is started in another role asks for that.
func TestMemberAsksForItsRole(t *testing.T) {
	for _, role := range []codec.Role{codec.RoleVoter, codec.RoleObserver} {
		synctest.Test(t, func(t *testing.T) {
			joins := make(chan codec.Role, 100)
			net := &fakeNetwork{bonds: []codec.PeerID{"other"}}
			net.call = func(_ context.Context, _ codec.PeerID, m codec.Message) (codec.Answer, error) {
				if j, ok := m.(*codec.Join); ok {
					joins <- j.Role
				}
				return codec.Answer{Status: codec.CallUnavailable}, nil
			}
			l := openLedger(t, self)
			require.NoError(t, Found(l, self, nil, 1, [codec.FoundingNonce]byte{1}))
			g := New(Config{
				Self: self, Group: testGroup, Ledger: l, Machine: &sumMachine{}, Role: role,
				Addrs: func() []string { return nil }, Random: func([]byte) {}, Logger: discard(),
			})
			g.Start(net)
			time.Sleep(5 * time.Second)
			g.Close()
			require.NoError(t, l.Close())
			time.Sleep(2 * time.Millisecond) // for the library's goroutine after a dead letter
			if role == codec.RoleVoter {
				require.Empty(t, joins, "it is what it wants to be")
			} else {
				require.Equal(t, codec.RoleObserver, <-joins)
			}
		})
	}
}
