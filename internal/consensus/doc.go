// Package consensus decides a group's log: Raft (Ongaro's thesis) by
// go.etcd.io/raft/v3, with what logmesh adds around it. It is pure: events in
// (Tick, Step, Propose, …), work out (Ready). It has no goroutine, clock, disk
// or socket; the one source of chance is the library's own election jitter.
//
// The loop of whoever owns a Core:
//
//	if r, ok := core.Ready(); ok {
//		send(r.Now)                  // a leader's appends, heartbeats: may leave before the save
//		adopt(r.Adopt)               // the raft view jumps to a synced cursor
//		save(r.Save)                 // one batch, synced if it says so
//		send(r.After)                // votes, acknowledgements: only after the save
//		take(r.Committed, r.Reads)
//		err = core.Advance()         // applies configuration entries
//	}
//
// Between Ready and Advance every other method may be called; Ready itself
// reports false until Advance, and Early gives what need not wait for it.
//
// What is added to the library:
//
//   - Admit looks at every message before it is stepped: remote input must not
//     panic the library, and a lost or forked log must be told by name.
//   - A MsgSnap is metadata only. It is held until the ledger has fetched the
//     blocks up to it from all members, and only then stepped.
//   - The leader keeps the membership: joiners become learners, standbys are
//     promoted up to the target, the dead are replaced, and operators are heard,
//     one change at a time.
//   - Reads share heartbeat rounds.
//
// The library runs with AsyncStorageWrites, and the Core itself plays the two
// storage threads: after each input all work is taken from the library and
// gathered for the next Ready. The gathered entries make the end of the log
// that is not saved yet visible to Admit.
package consensus
