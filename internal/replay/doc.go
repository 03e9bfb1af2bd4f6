// Package replay turns a log into the state of a machine: it applies committed
// entries in order, each once, and answers for each command what became of it.
//
// Three kinds of state follow from the log, and a Core owns them all: the
// machine's, the client sessions, and the applied index. They change in Apply
// only, and depend on the entries alone: not on how these were cut into calls,
// not on time.
//
// # Client sessions
//
// A client repeats a command until it hears what became of it, so the log may
// hold it more than once; a session makes it count once. The rules, for a
// command (session, seq, low) of the log:
//
//   - A command that opens a session makes one whose id is the entry's index. If
//     there are MaxSessions already, the least recently used one, by log index,
//     is evicted: there is no clock.
//   - A command of an unknown session, evicted or never opened, is not applied;
//     its answer is Expired. A session is never made silently.
//   - low says that the client has the answers below it: what the session kept
//     of them is dropped. A command below the highest low so far is a late copy
//     that nobody waits for; it is not applied, and rejected.
//   - A repeat of a command whose outcome is kept is not applied and gets the
//     first outcome, with the index at which that was reached.
//   - A command more than Window above its own low is rejected. This looks at the
//     command alone, so every copy of it is rejected alike and nothing need be
//     kept.
//   - Anything else is applied, whatever the order in which the commands of a
//     session come, and its outcome is kept.
//
// What all sessions keep is looked at after each block: above MaxKept bytes the
// session that keeps the most is evicted, until it fits.
//
// # Digest
//
// A Core's digest is BLAKE3-256(0x03 ‖ machine's digest ‖ sessions' digest). The
// sessions' digest is a machine.MultisetHash of the sessions and of the outcomes
// they keep, brought up to date when it is read: at each block end, so that
// reading costs no more than the entries since then, at most one block.
package replay
