// Package disk is a model of package ledger: the same methods over plain Go values
// instead of a Pebble database, for simulations that run many whole members in
// one goroutine. It has no lock, goroutine, clock or file; each call returns at
// once, and the same calls give the same results. It is written to be obvious
// rather than clever, and a differential test holds the ledger to it.
//
// A Disk is what survives a crash, a Ledger is a process's handle on it:
//
//	d := disk.New()
//	l, err := disk.Open(d, opts) // FS, Dir, Memory, Logger and Reserve of the options mean nothing here
//	…
//	d.Crash(func(unsynced int) int { return rng.IntN(unsynced + 1) })
//	l, err = disk.Open(d, opts)
//
// # What is on a disk
//
// A state is all that a ledger holds; it is never changed. Every write makes the
// next state out of the last one and a batch of records, and shares with it
// whatever the batch does not touch, so that a write costs what it changes and
// not what the ledger holds. A disk is the state after the last synced write,
// and the states after each write since.
//
// All writes go through one log in order, and a sync covers everything before it
// (see package ledger, "Why a crash loses nothing that was promised"). So a crash
// leaves one of the states of the list: Crash takes the number of unsynced
// writes, and the caller says how many of them survive. What Open finds is
// durable from then on, and what a clean Close leaves too.
//
// Both views stand on whole blocks: the raft view is blocks [hidden, sealed) of
// the synced view's blocks [0, n), and the tail behind them. Open has no blocks at
// or above n to delete, because here a release is one batch.
//
// # Faults
//
// Disk.Fault is asked about every write, and may let it fail: not done at all,
// done but not synced, or done and yet reported as failed. A Ledger that met a
// failure stands still like the real one: Failed is set, every later write
// returns it, reads go on, and only a new Open recovers.
//
// Hooks are mistakes that a ledger could make. Each is there to be found: by the
// checks of Open, or by the simulation whose promises it breaks.
//
// # Tests
//
// The tests of this package are the ledger's, too: they do the same with a ledger on
// Pebble and with the model, and compare all that can be seen. A run that fails says
// its seed. Longer ones:
//
//	go test ./internal/sim/disk -run TestLedgerIsTheModel -rapid.checks=1000
//	go test ./internal/sim/disk -run TestLongRuns -long 1000 -seed 7
//	go test ./internal/sim/disk -run TestCrashClones -clones 2000 -seed 7
//	go test ./internal/sim/disk -run 'TestEveryFailure|TestNoSpace' -stride 1
//
// Pebble's own goroutines write when they like. So a seed brings the same calls, but
// not always the same moment of a crash or of a failure.
package disk
