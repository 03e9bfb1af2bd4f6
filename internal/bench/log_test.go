package bench

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/machine/kv"
)

func testSpec(machine string, size int) logSpec {
	s := logSpec{Entries: 1000, Size: size, Machine: machine, Keys: 7, Seed: 1}
	for i := range 3 {
		s.Voters = append(s.Voters, voter{Peer: codec.PeerID(fmt.Sprint("peer", i)), RaftID: codec.RaftID(i + 1), Addrs: []string{"/ip4/127.0.0.1/tcp/1"}})
	}
	return s
}

// makeLog puts a log into a ledger in memory, as a member of it does.
func makeLog(t *testing.T, spec logSpec) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(place{}.ledgerOptions("peer0"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	bytes, err := writeLog(spec, l.Release)
	require.NoError(t, err)
	stored := int64(0)
	for b := range l.Head().Blocks {
		data, err := l.Block(b)
		require.NoError(t, err)
		stored += int64(len(data))
	}
	require.Equal(t, stored, bytes)
	return l
}

// Every process makes the log for itself: all must make the same.
func TestLogFollowsFromItsSpec(t *testing.T) {
	spec := testSpec(MachineFold, 128)
	l := makeLog(t, spec)
	require.Equal(t, l.Head(), makeLog(t, spec).Head())
	spec.Seed++
	other := makeLog(t, spec)
	require.NotEqual(t, l.Head().Root, other.Head().Root)
	ours, err := l.Block(1) // commands only
	require.NoError(t, err)
	theirs, err := other.Block(1)
	require.NoError(t, err)
	require.NotEqual(t, codec.Leaf(ours), codec.Leaf(theirs))
}

// The log is one that a group could have decided: Raft can open on it, the voters
// are its members, and each command stands in the one client session.
func TestLogIsWhole(t *testing.T) {
	for _, test := range []struct {
		machine string
		size    int
	}{{MachineFold, 1}, {MachineFold, 128}, {MachineFold, 100_000}, {MachineKV, 128}, {MachineKV, 20}} {
		t.Run(fmt.Sprint(test.machine, test.size), func(t *testing.T) {
			spec := testSpec(test.machine, test.size)
			l := makeLog(t, spec)
			adopted, err := l.AdoptHead()
			require.NoError(t, err)
			require.True(t, adopted)
			last := l.Head().Last
			require.Equal(t, codec.HardState{Term: 1, Commit: last}, l.HardState())
			require.Equal(t, last, l.LastIndex())
			_, config := l.RaftApplied()
			require.Equal(t, 3, config.Voters())
			require.Equal(t, 3, config.Target)
			require.False(t, config.Log.IsZero())
			checkCommands(t, spec, l)
		})
	}
}

func checkCommands(t *testing.T, spec logSpec, l *ledger.Ledger) {
	t.Helper()
	var session codec.SessionID
	seq, keys := uint64(0), map[string]bool{}
	for next := codec.Index(1); next <= l.Head().Last; {
		entries, err := l.Read(next, l.Head().Last, 1<<20)
		require.NoError(t, err)
		for _, e := range entries {
			if e.Kind != codec.KindCommand {
				continue
			}
			c, err := codec.DecodeCommand(e.Data)
			require.NoError(t, err)
			if c.Opens() {
				require.Zero(t, session)
				session = codec.SessionID(e.Index)
				continue
			}
			seq++
			require.Equal(t, [2]uint64{uint64(session), seq}, [2]uint64{uint64(c.Session), c.Seq})
			require.Equal(t, max(seq, underWay)-underWay+1, c.Low)
			if spec.Machine == MachineFold {
				require.Len(t, c.Payload, spec.Size)
				continue
			}
			require.InDelta(t, spec.Size, len(c.Payload), 1)
			put, err := kv.DecodeCommand(c.Payload)
			require.NoError(t, err)
			keys[put.(kv.Put).Key] = true
		}
		next += codec.Index(len(entries))
	}
	require.Equal(t, uint64(spec.Entries), seq)
	if spec.Machine == MachineKV {
		require.Len(t, keys, spec.Keys)
	}
}

func TestNoRoomForAValue(t *testing.T) {
	_, err := newLogWriter(testSpec(MachineKV, 16))
	require.ErrorContains(t, err, "at least 17")
	_, err = newLogWriter(testSpec(MachineKV, 17))
	require.NoError(t, err)
}
