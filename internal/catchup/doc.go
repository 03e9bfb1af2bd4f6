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
//	window   bytes leased, received or released and not yet stored
//	target   the session ends when all blocks below it are stored
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
// This package promises no compatibility.
package catchup
