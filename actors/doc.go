// Package actors is logmesh at work: the actors of one group, which translate
// messages into steps of the pure cores (internal/consensus, internal/catchup,
// internal/replay) and carry out what these ask for. It promises no
// compatibility; the public API is the root package.
//
//	actor        owns                            receives                              sends
//	supervisor   the children, the group's end   failures                              —
//	consensus    the Raft core, the raft view    ticks, Raft messages, calls, saved    Raft messages; Committed and Advance to replay; save to saver
//	saver        the synced writes of a Ready    save                                  saved to consensus
//	coordinator  a catchup.Plan per sync session offers, blocks, ends, wakes           Fetch, Extend, Trim, Cancel to fetchers; Release to storer; syncDone to consensus
//	fetcher      the sync stream to one peer     Fetch …, frames of its stream         frames; blocks and ends to coordinator
//	storer       writes to the synced view       Release                               Stored to coordinator; Advance to replay
//	replay       the machine, its applied index  Committed, Advance, queries           results to whoever waits
//	provider     the sessions of remote peers    frames of their streams               grants to the sessions' writers
//
// # Order
//
// Messages between two actors arrive in the order in which they were sent;
// nothing overtakes. Consensus handles every message that is already in its
// mailbox before it looks at Ready, and everything that comes while the saver
// syncs one Ready waits for the next: that is how proposals share one sync.
//
// # Blocking
//
// saver and storer wait for the disk's syncs, replay for the user's machine;
// consensus writes to the ledger without a sync. Nobody waits for them inside an
// actor. Coordinator, fetcher and provider never
// block: streams are read and written by goroutines of their own.
//
// # Credit: what bounds each mailbox
//
//	consensus    calls: MaxCalls at once; Raft messages: maxRaft at once (the
//	             streams' readers wait); ticks: one
//	coordinator  blocks and offers of a stream: connTokens for each fetcher, and
//	             the plan's byte window; one-shot offers: maxOffers, others are
//	             dropped; bonds that come and go: not bounded here
//	fetcher      frames: connTokens, then its reader waits; commands: those of the plan
//	saver        one save: consensus holds the next Ready back
//	storer       the plan's byte window
//	replay       consensus sends entries only while less than replayCredit bytes
//	             are on the way, else only the index up to which replay may read;
//	             queries: one for each goroutine that waits for its answer
//	provider     frames: connTokens for each stream, then its reader waits; writes:
//	             each session's unsent bytes
//
// # Failure
//
// A panic in a fetcher ends that fetcher: its peer counts as gone until it
// offers again; bonded peers are asked within a second. A panic in any other actor, and any failed write, stops the
// group on this node with the reason: no actor is ever restarted with an empty
// memory.
//
// Damage of the ledger stops the group too, whoever meets it. The owner opens the
// ledger again, which repairs it; what is then missing is fetched by a sync session
// for each hole, before Raft is opened.
//
// # Shutdown
//
// Group.Close stops the supervisor, which stops its children and then itself;
// streams are reset, goroutines end, and only then is the ledger closed by its
// owner.
package actors
