// Package ledger is the durable log of one group on one node: a Pebble database
// in a directory of its own, or in memory. FORMAT.md beside this file has the
// table of keys and the bytes of each record.
//
// # Two views of one log
//
// The raft view, entries [FirstIndex, LastIndex], is what Raft sees. It consists
// of the newest blocks and, behind them, the tail: entries that are in no block
// yet, because their block is not full or not committed. It changes through
// Save, Seal and MoveHorizon, and jumps only by adoption.
//
// The synced view is the log as sealed blocks [0, Head().Blocks), the block tree
// over them, and the configuration at their end. Seal extends it with what Raft
// decided; Release extends it, in catch-up, with what other members decided, and
// never touches the raft view: a change under Raft's feet makes it panic, and an
// entry that was acknowledged but is not committed could be lost. So the synced
// view may be ahead of the raft view. Raft catches up with it through Adopt,
// which it asks for, or AdoptHead, before it is opened; or it seals the same
// blocks again, and then they must be the same bytes.
//
// Replay reads decided entries: from blocks as far as there are blocks, and from
// the tail behind them. Where a stale tail and a block hold the same index, the
// block is right. Raft reads its own view: tail first, then blocks.
//
// # Atomic writes
//
// Each line is one Pebble batch, so that a crash leaves all of it or nothing:
//
//	write           content                                               synced
//	Found           entry 1, hard state, bounds, raft-applied, log id     yes
//	OpenEmpty       bounds [1, 0], hard state, raft-applied               yes
//	Save            tail records at and above the first new index go;     if asked
//	                entries; hard state
//	Seal            block, leaf and tree nodes, place, head, the          no
//	                configuration if it changed (unless catch-up stored
//	                them); its tail records go; bounds; hard state with
//	                commit ≥ the block's end
//	Release         blocks with all that belongs to them, head            yes
//	Drop            the same goes; head                                   yes
//	Adopt           bounds, raft-applied with its configuration, hard     yes
//	                state; tail records go, see Adopt; log id when learned
//	Recover         as Adopt if blocks are ahead; entries; hard state;    yes
//	                raft-applied with its configuration; log id
//	MoveHorizon     bounds                                                no
//	SetRaftApplied  index and configuration; log id when learned          no
//	SetLogID        log id                                                yes
//	SetRemoved      index of the entry that removed this node             yes
//	Fill            blocks, their places and leaves, what is missing      yes
//	… its last      what follows from the blocks, in several batches      the last, in
//	                                                                      which the record of gaps goes
//
// # The log id
//
// A log begins with a founding or, when a group lost its majority for good, with a
// recovery; its id is a hash of that entry. Members bond by log id, so a ledger
// must not name one and hold another. On the way through the log a joiner passes
// the logs that recoveries ended, with other ids; and whether what it fetches will
// lead to the log it was told is not to be seen before the recovery. So the two are
// compared where it counts: in the configuration, once applied, that has this node
// as a member. Only then can it vote.
//
// # Why a crash loses nothing that was promised
//
// All batches go through one write-ahead log in the order in which they were
// committed, and a sync covers everything before it. After a crash the database
// is therefore what some number of the first batches make, at least up to the
// last synced one. Each batch turns a consistent ledger into a consistent one, so
// whatever the number is, Open finds a consistent ledger; and a promise (an
// acknowledged entry, a vote, a released block) is made only after a sync.
//
// Seal needs no sync: what it moves was in the tail before, and leaves the tail in
// the batch in which the block arrives. If that batch is lost the entries are
// in the tail again, with the hard state that says they are committed, and are
// sealed again to the same bytes. The same holds for the horizon (a longer view)
// and raft-applied (the same entries are applied again).
//
// In memory a view changes only after its batch is committed.
//
// # Failure and damage
//
// A write or sync that fails, also in Pebble's background work, is remembered
// with its path, and the disk stands still from that moment on, as after a crash:
// every later write returns the failure, because a disk that is half known must
// not vote. Reads go on, from what Pebble then holds in memory. Only a new start
// recovers. A full disk is seen before a write fails: see Full.
//
// Damage is found by checksums: Pebble's own over its files, a CRC-32C in each of
// our records, the block tree over blocks. Open checks everything but blocks, and
// that the parts fit together; blocks are checked when they are read, which replay
// does at each start, and by Verify. What is found while the ledger is open, also
// by Pebble's background work, is kept (see Damaged), and makes the next Open fail
// until Repair has run.
//
// Where a crash may have cut off a write, damage looks the same, and Pebble goes on
// with less. Three things tell them apart. A new database is closed and opened once
// before its first use, because only then does Pebble see damage in the middle of
// its write-ahead log. A clean stop flushes everything to tables and leaves a
// marker of the state. And the file SYNCED says how much of manifest and log was
// synced; see there what it covers.
//
// # Repair
//
// Repair writes a new database of what it can read and puts it in the place of the
// damaged one; swap has the argument why a crash leaves one of the two. What
// follows from the blocks is not read but made anew when all blocks are there.
// Missing blocks are fetched from other members (Holes, LeafOf, Fill): each is
// proved by our own leaf, or by our own root if the leaf is lost too. Until then
// there is no raft view, so nothing that could vote or acknowledge.
//
// What no other member has must be whole: identity, hard state, raft view, tail,
// head. If one of them is not, or manifest or log are damaged and so an older state
// might be taken for the last one, Repair refuses: who does not know what it
// promised must not vote. Such a node comes back with an empty directory, under a
// new raft id.
//
// # Concurrency
//
// Raft-view writers and synced-view writers each have a mutex, held while the
// disk works; memory has a third one that is not. So reads never wait for a sync,
// and Save and Release wait for each other only inside Pebble, which joins their
// syncs. Everything handed out is immutable.
package ledger
