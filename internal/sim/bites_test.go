package sim

import (
	"testing"

	"github.com/logmesh/logmesh/internal/sim/disk"
)

// bites are deliberate faults, and within how many seeds each must be found.
var bites = []struct {
	name   string
	faults Faults
	within uint64
}{
	{"skip the sync", Faults{SkipSync: true}, 10},
	{"acknowledge before the sync", Faults{AckBeforeSync: true}, 20},
	{"a command is done when it is accepted", Faults{AckOnAccept: true}, 10},
	{"forget the vote", Faults{ForgetVote: true}, 100},
	{"count learners", Faults{CountLearners: true}, 20},
	{"confirm a read without the quorum", Faults{StaleRead: true}, 200},
	{"read before the index is applied", Faults{EarlyRead: true}, 10},
	{"reuse a raft id", Faults{ReuseRaftID: true}, 200},
	{"take blocks that do not prove", Faults{UnprovedBlocks: true}, 200},
	{"take the root of one peer", Faults{LoneVoter: true}, 200},
	{"drop the session table", Faults{DropSessions: true}, 10},
	{"repeat a command under a new number", Faults{RetryAsNew: true}, 50},
	{"apply entries again", Faults{ApplyTwice: true}, 100},
	{"leave out an entry", Faults{SkipEntry: true}, 10},
	{"a lease ends without a word to its peer", Faults{EarlyEnd: true}, 200},
	{"step a snapshot that the ledger has not reached", Faults{StepUnsynced: true}, 100},
	{"ignore the floor of the horizon", Faults{NoFloor: true}, 100},

	{"disk: save is not synced", Faults{Disk: disk.Hooks{SkipSync: disk.OnSave}}, 10},
	{"disk: the vote is lost", Faults{Disk: disk.Hooks{ForgetVote: true}}, 100},
	{"disk: hard states are lost", Faults{Disk: disk.Hooks{DropHard: true}}, 10},
	{"disk: entries are lost", Faults{Disk: disk.Hooks{DropEntries: true}}, 10},
	{"disk: seal is torn", Faults{Disk: disk.Hooks{Torn: disk.OnSeal}}, 600},
	{"disk: seal keeps the tail", Faults{Disk: disk.Hooks{SealKeepsTail: true}}, 100},
	{"disk: adopt without raft-applied", Faults{Disk: disk.Hooks{AdoptWithoutApplied: true}}, 100},
	{"disk: adopt without hard state", Faults{Disk: disk.Hooks{AdoptWithoutHard: true}}, 100},
	{"disk: adopt with the old configuration", Faults{Disk: disk.Hooks{AdoptKeepsConfig: true}}, 10},
	{"disk: hide what is not applied", Faults{Disk: disk.Hooks{HideUnapplied: true}}, 100},
}

// TestSimBites: each deliberate fault is found.
func TestSimBites(t *testing.T) {
	if testing.Short() || usualSeeds < enoughSeeds {
		t.Skip("some hundreds of runs, each in one goroutine")
	}
	for _, b := range bites {
		t.Run(b.name, func(t *testing.T) {
			for seed := uint64(1); seed <= b.within; seed++ {
				if r := simulate(t, Draw(seed), b.faults, false); r.Violation != nil {
					t.Logf("found by seed %d: %v", seed, r.Violation)
					return
				}
			}
			t.Errorf("not found in %d seeds", b.within)
		})
	}
}
