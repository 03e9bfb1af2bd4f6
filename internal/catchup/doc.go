// Package catchup is the coordinator's mind in a sync session: it decides which
// peer is asked for which blocks, when to ask another, and in which order blocks
// go on to the ledger.
//
// A Plan is pure. Events (what happened, with the time) go in through Step,
// effects (what to do) come out; there is no clock, goroutine, timer, socket or
// random source inside, so that a session can be replayed from its events. The
// one timer it needs is asked for by the effect Wake.
//
// What the parts of a session are called:
//
//	lease    an ordered list of blocks asked of one peer. A peer has at most one;
//	         it is kept open by Extend before it drains, and cut by Trim
//	offer    the blocks that a peer says it has
//	floor    the lowest block that has not arrived
//	hole     missing blocks that no lease asks for
//	hedge    blocks that a silent peer owes, asked of another as well
//	window   bytes leased, received or released and not yet stored
//	target   the session ends when all blocks below it are stored
//
// Who gets which block is decided by what the peers can deliver: in log order, but
// a peer that would come after the others gets what lies further up (assign.go); a
// peer is silent when nothing came for longer than its rate and round trip explain,
// and only then may another be asked for the same at the expense of a budget
// (clock.go). Rates are measured from arrival to arrival: a round trip says nothing
// about them (meter.go). An event costs time in proportion to the peers, and to the
// logarithm of the runs of blocks between holes; of a block outside the window
// nothing is kept.
//
// Nobody is blamed for our own slowness. What is leased has room in the window, so
// that all of it is read however slow the disk is; when the window is full no lease
// is open whose clock could run; and a Ticked that comes long after its Wake tells
// that we were not running, whereupon all clocks begin anew.
//
// What is always true, and checked by the package's tests: a block is released
// once and in order; a peer has at most one open lease; bytes held stay within
// the window and two largest blocks; work that is missing, a peer that could
// serve it, and nothing in flight never lasts.
//
// With Config.Prove each block is proved, before it is released, against a root
// that RootAgreed told: by the leaves of its group, which come once. An Agreement
// finds the roots that a majority of the voters states, a Search the first block in
// which two logs differ. Served is the other side of a lease, the provider's.
//
// The tests have a model of the network, in virtual time. go test -run TestBars
// -table prints what the plan reaches in each condition; -run TestMixtures -seeds N
// draws that many, and -seed N plays one of them again.
//
// This package promises no compatibility.
package catchup
