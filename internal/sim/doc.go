// Package sim runs whole members from a seed: on a simulated network, on disks
// that forget, and on a virtual clock, in one goroutine. It is for tests; no
// program imports it.
//
// # What is real
//
// consensus.Core, catchup.Plan, replay.Core, the key-value machine and every
// message's codec are the program's own. The ledger is the model in the package
// disk below, to which a test holds the real one. What the program's actors do
// around these cores is played here, thinly and in the same order, by a type for
// each: raftNode, coordinator (with the storer), fetcher, provider, replayer,
// proposer (the client), readBatch. They are written again because the program's
// are bound to goroutines and streams: whoever changes the order of things in
// package actors changes it here too. Limits on goroutines and memory, bonds'
// handshakes and frames' heads are left to the tests of actors and p2p.
//
// # How time passes
//
// A timeline holds what will happen, ordered by time and then by when it was
// asked for. A member's sync takes time, during which its consensus is busy and
// its other actors go on; what it is sent waits. Members are told of each other
// through
//
//	datagrams  messages of Raft, progress, gossip: late, lost, doubled, overtaking
//	calls      a question and an answer; both may get lost
//	streams    of catch-up: in order, and whole until they are reset
//	bonds      which stand while both members run and no direction is cut, and
//	           end a few seconds after a cut, unless it is a quiet one
//
// A crash keeps some of the writes that were not synced, oldest first. It comes at
// once, or at one of the stages of the handling of a Ready.
//
// # What is drawn, and what is checked
//
// Sessions are proved, as the program's are, against roots that a majority of the
// voters states. A provider that never was a voter may forge blocks, leaves and
// roots.
//
// Draw makes a Scenario of a seed: members, when they come, what is done to them
// (see Action), and what users do. Each link, member and part of the drawing has
// dice of its own, so that leaving something out changes little else.
//
// The World checks all along that
//
//   - a term has one leader, and a leader has everything that is decided;
//   - nobody votes twice in a term;
//   - what is decided never changes, and is synced on a majority of voters before
//     anybody takes it as decided;
//   - entries are applied in order, each once, as they were decided, and equal
//     indexes give equal digests;
//   - what a session stores was decided, and so was what is adopted, from the
//     first entry on;
//   - the horizon hides nothing that the floor keeps;
//   - a peer has one lease, a session is never stuck and keeps to its window;
//   - nobody but who forged is put out of a session, and the roots that voters
//     state do not contradict each other;
//   - no honest message is refused, and no member stops that was not made to.
//
// At the end everything heals. Within calm everybody has everything and nothing is
// under way; it can be written and read through each member. Then the history of
// the users is held against the log (what was acknowledged is there once, what was
// said never to happen is not, each read is that of its index), and against
// porcupine (it is linearizable).
//
// Elections draw from the global source of randomness, so a test sets that from
// the seed as well, and seeds are shared out over processes.
package sim
