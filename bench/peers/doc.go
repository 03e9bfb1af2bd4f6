// Command peers measures logmesh's catch-up beside others doing the same work: a
// follower that holds nothing takes a log of N entries of one size and folds
// all of them, see fold. It is a module of its own, so that what it compares
// with is in nobody's dependencies but its own.
//
//	go -C bench/peers run . --entries 1000000 --size 128 --runs 5
//
// # What is compared
//
// The time from the moment when everybody is ready to the moment when the
// follower has applied the last entry, and what it costs meanwhile. Ready means:
// the servers hold the log, have elected their leader and applied everything;
// the follower listens, is empty, and has no connection. Every node is a process
// of its own, joined to the others over TCP on loopback, unless the row says
// otherwise; the rows run in turn. A run that takes longer than --limit counts
// what was applied by then.
//
//   - logmesh: its own bench, logmesh bench catchup, which measures from Join.
//     Three members, whose ledgers are on disk; the joiner's is on disk or in
//     memory. It has client sessions, proofs, and the rest of a node.
//   - hashicorp/raft: the leader takes in a follower that does not vote. With
//     its default MaxAppendEntries of 64 and the largest it allows, 1,024; its
//     machine takes batches. In memory (InmemStore), and durable (raft-boltdb,
//     synced at each append, behind the library's own LogCache; the leader's log
//     lies in one, too). Its transport in memory needs both nodes in one
//     process, and passes entries on without encoding them: that row says what
//     the rest of the library costs.
//   - go.etcd.io/raft: the leader takes in a learner and ships its log by MsgApp,
//     over one stream between libp2p hosts set up as logmesh's are. MemoryStorage;
//     encoding, consensus and applying have a goroutine each. The message size is
//     the one of 64 KiB to 4 MiB that took least processor time.
//   - The fixed scheduler, a baseline: how an earlier design of this project
//     caught up, over the same libp2p hosts. Three servers hold the log in
//     memory and all serve it: 2,000 entries a request, one in flight for each
//     peer, 25 s for each, and everything applied when everything is there.
//
// # What is not
//
// Snapshots are off everywhere: this is about logs. The others prove nothing of
// what they take, and the fixed scheduler and etcd's row store nothing;
// hashicorp/raft does not encrypt. No row's leader has other work. Loopback has
// no delay, no limit and no slow peer: what a round trip for each request, a
// window, or a deadline of 25 s costs on a real network does not show here.
package main
