package disk_test

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/internal/sim/disk"
)

var hookRuns = flag.Uint64("runs", 400, "how many random runs TestHooksAreFound gives a mistake to show; 0: the test is left out")

// mistaken is a model with mistakes.
type mistaken struct {
	*disk.Ledger
	disk *disk.Disk
}

func (m *mistaken) restart() error {
	l, err := disk.Open(m.disk, testOptions())
	if err == nil {
		m.Ledger = l
	}
	return err
}

func (m *mistaken) crash(c chooser) {
	m.disk.Crash(func(unsynced int) int { return c.upTo("keep", unsynced) })
}

func (m *mistaken) failNext(on bool) {
	m.disk.Fault = nil
	if on {
		m.disk.Fault = failSyncs
	}
}

func (m *mistaken) broke() bool { return false }
func (m *mistaken) heal()       {}

// seeded chooses by a seed.
type seeded struct{ *rand.Rand }

func (s seeded) upTo(_ string, n int) int { return s.IntN(max(n, 0) + 1) }

// shows is the number of the first run after which a ledger with the mistakes h is
// not the model; 0 if none is.
func shows(t *testing.T, h disk.Hooks, runs uint64) uint64 {
	for run := range runs {
		m := &mistaken{disk: disk.New()}
		m.disk.Hooks = h
		w, err := newWorld(seeded{rand.New(rand.NewPCG(*seed+run, 0))}, m, testOptions())
		require.NoError(t, err)
		if w.run(30) != nil {
			return run + 1
		}
	}
	return 0
}

// Random runs that find every mistake in the model would find it in the ledger.
func TestHooksAreFound(t *testing.T) {
	if *hookRuns == 0 {
		t.Skip("no runs")
	}
	mistakes := map[string]disk.Hooks{
		"sync of found":       {SkipSync: disk.OnFound},
		"sync of open empty":  {SkipSync: disk.OnOpenEmpty},
		"sync of save":        {SkipSync: disk.OnSave},
		"sync of release":     {SkipSync: disk.OnRelease},
		"sync of drop":        {SkipSync: disk.OnDrop},
		"sync of adopt":       {SkipSync: disk.OnAdopt},
		"sync of set removed": {SkipSync: disk.OnSetRemoved},
		"sync of recover":     {SkipSync: disk.OnRecover},
		"torn recover":        {Torn: disk.OnRecover, SkipSync: disk.OnRecover},
		"sync of set log id":  {SkipSync: disk.OnSetLogID},
		"torn found":          {Torn: disk.OnFound, SkipSync: disk.OnFound},
		"torn save":           {Torn: disk.OnSave},
		"torn seal":           {Torn: disk.OnSeal},
		"torn release":        {Torn: disk.OnRelease, SkipSync: disk.OnRelease},
		"torn adopt":          {Torn: disk.OnAdopt, SkipSync: disk.OnAdopt},
		"ForgetVote":          {ForgetVote: true},
		"DropHard":            {DropHard: true},
		"DropEntries":         {DropEntries: true},
		"AdoptWithoutApplied": {AdoptWithoutApplied: true},
		"AdoptWithoutHard":    {AdoptWithoutHard: true},
		"SealWithoutHard":     {SealWithoutHard: true},
		"SealKeepsTail":       {SealKeepsTail: true},
		"AdoptKeepsConfig":    {AdoptKeepsConfig: true},
		"AdoptKeepsVote":      {AdoptKeepsVote: true},
		"AdoptKeepsTail":      {AdoptKeepsTail: true},
		"AdoptLosesTail":      {AdoptLosesTail: true},
		"SealUnchecked":       {SealUnchecked: true},
		"HideUnapplied":       {HideUnapplied: true},
		"ReadTailFirst":       {ReadTailFirst: true},
		"ReadUndecided":       {ReadUndecided: true},
	}
	require.Zero(t, shows(t, disk.Hooks{}, 10), "no mistake")
	for name, h := range mistakes {
		t.Run(name, func(t *testing.T) {
			n := shows(t, h, *hookRuns)
			require.NotZero(t, n, "never found")
			t.Logf("found in run %d", n)
		})
	}
}
