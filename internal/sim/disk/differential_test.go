package disk_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var longRuns = flag.Int("long", 20, "random runs that TestLongRuns does")

// drawn chooses with rapid, which then shrinks what failed.
type drawn struct{ t *rapid.T }

func (d drawn) upTo(what string, n int) int { return rapid.IntRange(0, max(n, 0)).Draw(d.t, what) }

// Any operations, refused ones too, failed syncs, clean stops and crashes in any
// order: all that can be seen of the ledger is what the obvious model says, and after
// a crash it is what was there after the last synced write or after one of the
// writes that followed (faults S1, S5, S10, P3).
func TestLedgerIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newReal()
		w, err := newWorld(drawn{t}, r, testOptions())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		if err := w.run(rapid.IntRange(1, 40).Draw(t, "steps")); err != nil {
			t.Fatalf("%+v", err)
		}
	})
}

// The same by seeds: longer runs, whose choices are all equally likely. rapid
// prefers what is small.
func TestLongRuns(t *testing.T) {
	for run := range uint64(*longRuns) {
		r := newReal()
		w, err := newWorld(seeded{rand.New(rand.NewPCG(*seed+run, 4))}, r, testOptions())
		require.NoError(t, err)
		require.NoError(t, w.run(30), "seed %d", *seed+run)
		require.NoError(t, w.both("close", subject.Close))
		if w.model.Failed() == nil {
			require.NoError(t, r.verify(), "seed %d", *seed+run)
		}
	}
}
