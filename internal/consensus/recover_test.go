package consensus

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
)

// survivors is a configuration at index 9 with a log of its own.
func survivors(roles ...codec.Role) codec.Configuration {
	c := codec.Configuration{Index: 9, Target: 3, Log: codec.LogID{0xaa}}
	for i, role := range roles {
		id := codec.RaftID(i + 1)
		c = c.With(codec.Member{RaftID: id, Peer: peerName(id), Role: role, Addrs: []string{"a"}})
	}
	return c
}

// survivor is member id of c, with five entries behind the configuration.
func survivor(c codec.Configuration, id codec.RaftID, nonce byte) Survivor {
	return Survivor{
		Config: c, Last: codec.Cursor{Index: c.Index + 5, Term: 4}, Term: 6, ID: id, Peer: peerName(id),
		Nonce: [codec.FoundingNonce]byte{nonce},
	}
}

// Whoever survives, voter, learner or one that is not a member, goes on alone as
// the voter of another log; every step of the way is one change with a voter
// left, as etcd's library wants it.
func TestRecoveryByAnyMember(t *testing.T) {
	c := survivors(codec.RoleVoter, codec.RoleVoter, codec.RoleVoter, codec.RoleStandby, codec.RoleObserver)
	for _, id := range []codec.RaftID{1, 3, 4, 5, 77} {
		s := survivor(c, id, 1)
		entries, end, err := Recovery(s)
		require.NoError(t, err)
		step := c
		for i, e := range entries {
			require.Equal(t, codec.Cursor{Index: s.Last.Index + 1 + codec.Index(i), Term: 7}, e.Cursor())
			step, err = Fold(step, e)
			require.NoError(t, err)
			require.Positive(t, step.Voters())
			require.Empty(t, checkEntry(e), "a later joiner is sent it by Raft")
		}
		require.Equal(t, end, step)
		require.Len(t, end.Members, 1)
		require.Equal(t, id, end.Members[0].RaftID)
		require.Equal(t, codec.RoleVoter, end.Members[0].Role)
		require.Equal(t, 3, end.Target)
		require.Equal(t, codec.LogIDOf(entries[len(entries)-1].Data), end.Log)
		require.Equal(t, []codec.Recovery{{Log: c.Log, Index: end.Index}}, end.Before)
		require.Equal(t, end.Index, codec.Ended(end.Before, c.Log))
	}
}

// Two recoveries of one log, by two members or by one with another nonce, are two
// logs.
func TestRecoveriesAreDifferentLogs(t *testing.T) {
	c := survivors(codec.RoleVoter, codec.RoleVoter, codec.RoleVoter)
	logs := map[codec.LogID]bool{c.Log: true}
	for _, s := range []Survivor{survivor(c, 1, 1), survivor(c, 2, 1), survivor(c, 1, 2)} {
		_, end, err := Recovery(s)
		require.NoError(t, err)
		require.False(t, logs[end.Log])
		logs[end.Log] = true
	}
}

// A full group has room for a survivor that is no member.
func TestRecoveryOfAFullGroup(t *testing.T) {
	roles := make([]codec.Role, codec.MaxMembers)
	for i := range roles {
		roles[i] = codec.RoleObserver
	}
	roles[0] = codec.RoleVoter
	entries, end, err := Recovery(survivor(survivors(roles...), 1000, 1))
	require.NoError(t, err)
	require.Len(t, entries, codec.MaxMembers+2) // 256 removals, one addition, the recovery
	require.Len(t, end.Members, 1)
}

func TestNothingToRecover(t *testing.T) {
	_, _, err := Recovery(survivor(survivors(codec.RoleVoter, codec.RoleObserver), 1, 1))
	require.ErrorIs(t, err, ErrMajority)
	_, _, err = Recovery(survivor(codec.Configuration{}, 1, 1))
	require.ErrorIs(t, err, errChange, "before entry 1")
}

// A recovery stands only where its member is alone and a voter, and only in the
// log that it ends.
func TestRecoveryInAWrongPlace(t *testing.T) {
	alone := survivors(codec.RoleVoter)
	nonce := make([]byte, codec.FoundingNonce)
	right := change{id: 1, typ: raftpb.ConfChangeAddNode, ctx: codec.ConfigContext{
		Peer: peerName(1), Role: codec.RoleVoter, Nonce: nonce, Target: 3, Recovers: alone.Log,
	}}
	fold := func(c codec.Configuration, index codec.Index, change func(*change)) error {
		ch := right
		if change != nil {
			change(&ch)
		}
		data, err := ch.encode()
		require.NoError(t, err)
		_, err = Fold(c, codec.Entry{Index: index, Term: 7, Kind: codec.KindConfig, Data: data})
		return err
	}
	require.NoError(t, fold(alone, 10, nil))
	other := alone
	other.Log = codec.LogID{0xbb}
	for name, err := range map[string]error{
		"two voters":         fold(survivors(codec.RoleVoter, codec.RoleVoter), 10, nil),
		"a voter, a learner": fold(survivors(codec.RoleVoter, codec.RoleObserver), 10, nil),
		"by another":         fold(alone, 10, func(ch *change) { ch.id, ch.ctx.Peer = 2, peerName(2) }),
		"another peer":       fold(alone, 10, func(ch *change) { ch.ctx.Peer = peerName(2) }),
		"another log":        fold(other, 10, nil),
		"in its own log":     fold(alone, 9, nil),
		"as entry 1":         fold(codec.Configuration{}, 1, nil),
		"without a nonce":    fold(alone, 10, func(ch *change) { ch.ctx.Nonce = nil }),
		"without a target":   fold(alone, 10, func(ch *change) { ch.ctx.Target = 0 }),
		"of no log":          fold(alone, 10, func(ch *change) { ch.ctx.Recovers = codec.LogID{} }),
		"as a learner": fold(alone, 10, func(ch *change) {
			ch.typ, ch.ctx.Role = raftpb.ConfChangeAddLearnerNode, codec.RoleObserver
		}),
		"a removal": fold(alone, 10, func(ch *change) { ch.typ, ch.ctx.Role = raftpb.ConfChangeRemoveNode, 0 }),
	} {
		require.ErrorIs(t, err, errChange, name)
	}
}

// Any history of additions, removals and recoveries: the log alone gives every
// configuration; a log id never comes back; and as many of those that ended as are
// remembered are told by the index at which they did.
func TestRecoveriesAtRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, err := Founding(1, codec.ConfigContext{Peer: peerName(1), Nonce: make([]byte, codec.FoundingNonce), Target: 3})
		if err != nil {
			t.Fatal(err)
		}
		c, log, ended := codec.Configuration{}, []codec.Entry{e}, []codec.Recovery(nil)
		if c, err = Fold(c, e); err != nil {
			t.Fatal(err)
		}
		logs := map[codec.LogID]bool{c.Log: true}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			id := codec.RaftID(rapid.IntRange(1, 30).Draw(t, "id"))
			if rapid.Bool().Draw(t, "recover") {
				old := c.Log
				s := survivor(c, id, byte(len(log)))
				entries, end, err := Recovery(s)
				if err != nil {
					continue
				}
				if logs[end.Log] {
					t.Fatalf("log %v twice", end.Log)
				}
				logs[end.Log] = true
				c, log, ended = end, append(log, entries...), append(ended, codec.Recovery{Log: old, Index: end.Index})
				continue
			}
			m := codec.Member{RaftID: id, Peer: peerName(id)}
			ch := rapid.SampledFrom([]change{promote(m), demote(m), remove(m)}).Draw(t, "change")
			data, err := ch.encode()
			if err != nil {
				t.Fatal(err)
			}
			e := codec.Entry{Index: c.Index + 1, Term: 7, Kind: codec.KindConfig, Data: data}
			next, err := Fold(c, e)
			if err != nil {
				continue
			}
			if next.Log != c.Log {
				t.Fatal("another log without a recovery")
			}
			c, log = next, append(log, e)
		}
		again := codec.Configuration{}
		for _, e := range log {
			if again, err = Fold(again, e); err != nil {
				t.Fatal(err)
			}
		}
		require.Equal(t, c, again)
		if n := len(ended); n > codec.MaxBefore {
			ended = ended[n-codec.MaxBefore:]
		}
		require.Equal(t, ended, c.Before)
		if _, err := codec.EncodeConfiguration(c); err != nil {
			t.Fatal(err)
		}
	})
}

// recoverAlone is what the ledger's Recover does.
func (n *network) recoverAlone(id codec.RaftID) {
	l := n.nodes[id].log
	config := l.members
	for i := l.applied + 1; i <= l.LastIndex(); i++ {
		if e, _ := l.entry(i); e.Kind == codec.KindConfig {
			var err error
			if config, err = Fold(config, e); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	term, err := l.Term(l.LastIndex())
	if err != nil {
		n.t.Fatal(err)
	}
	entries, end, err := Recovery(Survivor{
		Config: config, Last: codec.Cursor{Index: l.LastIndex(), Term: term}, Term: l.hard.Term, ID: id, Peer: peerName(id),
	})
	if err != nil {
		n.t.Fatal(err)
	}
	last := entries[len(entries)-1].Cursor()
	l.save(Save{Entries: entries, Hard: &codec.HardState{Term: last.Term, Vote: id, Commit: last.Index}, Sync: true})
	l.applied, l.members = last.Index, end
	l.sync()
}

// The survivor leads alone and writes go on; what it had and nobody had committed
// is committed; new members come by appends alone and at a sealed cursor, and
// apply every step of the recovery like any other change.
func TestRecoveredGroupGoesOn(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		n := trio(t)
		n.propose(10, 10)
		one := n.leader().id
		n.sever(one, true)
		_, err := n.nodes[one].core.Propose([][]byte{[]byte("nobody has it but the survivor")})
		require.NoError(t, err)
		n.pump(n.nodes[one])
		kept := n.nodes[one].log.LastIndex()
		require.Less(t, n.nodes[one].log.hard.Commit, kept)
		for _, id := range n.ids() {
			n.kill(id)
		}
		delete(n.nodes, one%3+1)
		delete(n.nodes, (one+1)%3+1)
		clear(n.cut)
		n.queue = nil

		n.recoverAlone(one)
		n.open(one)
		require.Equal(t, one, n.elect().id)
		c := n.nodes[one].core.Configuration()
		require.Len(t, c.Members, 1)
		require.Len(t, c.Before, 1)
		require.Greater(t, n.nodes[one].log.hard.Commit, kept)
		if sealed {
			n.propose(2*codec.BlockEntries, 8)
			n.node(11).log.fetch(n.nodes[one].log)
			n.open(11)
		}
		n.propose(3, 10)
		n.join(11, codec.RoleStandby)
		n.join(12, codec.RoleStandby)
		n.until("three voters", func() bool { return n.leader() != nil && n.leader().core.Configuration().Voters() == 3 })
		for _, id := range []codec.RaftID{11, 12} {
			require.NoError(t, n.nodes[id].err)
			require.Equal(t, n.leader().core.Configuration(), n.nodes[id].core.Configuration())
			require.Zero(t, differ(n.nodes[one].log, n.nodes[id].log))
		}
	}
}
