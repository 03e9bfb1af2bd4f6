package disk

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

func testOptions() ledger.Options {
	return ledger.Options{Group: codec.GroupIDOf(codec.NetworkIDOf("test"), "main"), Peer: "12D3KooWTest", Salt: [16]byte{1}, HorizonBlocks: 2}
}

func founding() codec.Entry {
	return codec.Entry{Index: 1, Term: 1, Kind: codec.KindConfig, Data: []byte("founding")}
}

func commands(from, to codec.Index, term codec.Term) (out []codec.Entry) {
	for i := from; i <= to; i++ {
		out = append(out, codec.Entry{Index: i, Term: term, Kind: codec.KindCommand, Data: []byte{byte(i), byte(term)}})
	}
	return out
}

func open(t *testing.T, d *Disk) *Ledger {
	t.Helper()
	l, err := Open(d, testOptions())
	require.NoError(t, err)
	return l
}

// founded has entries 1 … last, committed and synced.
func founded(t *testing.T, d *Disk, last codec.Index) *Ledger {
	t.Helper()
	l := open(t, d)
	require.NoError(t, l.Found(founding()))
	require.NoError(t, l.Save(commands(2, last, 1), &codec.HardState{Term: 1, Commit: last}, true))
	return l
}

// A crash keeps what was synced, and as many of the later writes as it is told.
func TestCrashKeepsAPrefix(t *testing.T) {
	for keep := range 4 {
		d := New()
		l := founded(t, d, 5)
		for i := codec.Index(6); i <= 8; i++ {
			require.NoError(t, l.Save(commands(i, i, 1), nil, false))
		}
		require.Equal(t, 3, d.Unsynced())
		d.Crash(func(unsynced int) int {
			require.Equal(t, 3, unsynced)
			return keep
		})
		require.ErrorIs(t, l.Save(nil, nil, true), ledger.ErrClosed, "its process is gone")
		l = open(t, d)
		require.EqualValues(t, 5+keep, l.LastIndex())
		require.Zero(t, d.Unsynced(), "what was found is durable")
		require.NoError(t, l.Save(commands(l.LastIndex()+1, 12, 2), &codec.HardState{Term: 2, Commit: 5}, true))
		_, err := Open(d, testOptions())
		require.ErrorIs(t, err, ledger.ErrInUse)
	}
}

// A failed write is remembered, and nothing is written after it; whether it is
// there after a restart depends on how it failed (fault S5).
func TestFailedWrite(t *testing.T) {
	for how, last := range map[Outcome][2]codec.Index{NotDone: {5, 5}, Unsynced: {5, 6}, Done: {6, 6}} {
		for restart := range 2 { // after a crash that keeps nothing, or everything
			d := New()
			l := founded(t, d, 5)
			d.Fault = func(w Write) Outcome {
				if w.Op == OnSave && w.Sync {
					return how
				}
				return OK
			}
			var failed *ledger.FailedError
			require.ErrorAs(t, l.Save(commands(6, 6, 1), nil, true), &failed)
			require.EqualValues(t, 5, l.LastIndex(), "not acknowledged, not there")
			require.Equal(t, failed, l.Failed())
			d.Fault = nil
			require.ErrorAs(t, l.Save(commands(6, 6, 1), nil, false), &failed)
			read, err := l.Read(1, 5, 1<<20)
			require.NoError(t, err)
			require.Len(t, read, 5)
			if restart == 0 {
				d.Crash(nil)
			} else {
				require.ErrorAs(t, l.Close(), &failed)
			}
			require.Equal(t, last[restart], open(t, d).LastIndex(), "%d %d", how, restart)
		}
	}
}

// What a write costs does not depend on how much the ledger holds.
func BenchmarkReady(b *testing.B) {
	for _, before := range []codec.Index{1 << 10, 1 << 16} {
		b.Run(fmt.Sprint(before, " entries"), func(b *testing.B) {
			l, err := Open(New(), testOptions())
			require.NoError(b, err)
			require.NoError(b, l.Found(founding()))
			next := codec.Index(2)
			ready := func() {
				err := l.Save(commands(next, next, 1), &codec.HardState{Term: 1, Commit: next}, true)
				if _, sealed := l.Seal(next); err != nil || sealed != nil {
					b.Fatal(err, sealed)
				}
				if err := errors.Join(l.SetRaftApplied(next, codec.Configuration{}), l.MoveHorizon(0)); err != nil {
					b.Fatal(err)
				}
				next++
			}
			for next < before {
				ready()
			}
			b.ReportAllocs()
			for b.Loop() {
				ready()
			}
		})
	}
}
