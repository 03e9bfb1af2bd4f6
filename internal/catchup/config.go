package catchup

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Config configures a Plan. The zero value of every field but Session is useful.
type Config struct {
	Session uint64       // the nonce that the session's offers carry
	Self    codec.PeerID // offers of our own are dropped
	From    uint64       // the first missing block
	Target  uint64       // the session goes on to this many blocks; 0: as RootAgreed tells
	// Lease is the number above which leases are counted, for each peer: with
	// distinct values a reply to an earlier session is recognised.
	Lease uint64
	// Window is how many bytes of blocks may be leased, received, or released
	// and not yet stored. d: 64 MiB.
	Window int64
	// Patience is how long a block may have no holder, while everybody is asked
	// again, before the session fails. d: 60 s.
	Patience time.Duration
	// Check looks at a block before it fills a hole; an error puts the peer that
	// sent it out for the session. It must be pure. nil: none.
	Check func(number uint64, data []byte) error
	// Prove wants every block proved against a root that RootAgreed told; nothing
	// is asked for before one is. Check is not called then.
	Prove bool
	// Seed makes the jitter of rests and broadcasts.
	Seed uint64
}

func (c Config) withDefaults() Config {
	if c.Window <= 0 {
		c.Window = 64 << 20
	}
	if c.Patience <= 0 {
		c.Patience = time.Minute
	}
	return c
}

// The schedule's constants. Sizes are bytes.
const (
	leaseTime   = 400 * time.Millisecond // open work in time, at least
	leaseTrips  = 4.0                    // open work in round trips, at least
	leaseDeep   = 6.0                    // the same while several blocks are on the line
	deepBlocks  = 2                      // on a line, at least, that is reckoned so
	leaseMax    = 4 << 20                // open work of one peer, at most, unless its line is long and fast
	fullTrips   = 2.5                    // open work in round trips that keeps such a line busy
	shrinkTime  = 2 * time.Second        // a list that takes longer is looked at, if it has become too long
	leaseCold   = 256 << 10              // open work of a peer of unknown rate
	leaseStruck = 64 << 10               // open work of a peer that failed lately
	leaseBlocks = 16384                  // blocks in an open lease, at most

	tripFirst = 100 * time.Millisecond // a round trip that is believed at once
	tripsTell = 3                      // answers from which on any other is

	nearTime  = 100 * time.Millisecond // open work in time that the floor is rescued with
	nearTrips = 2.25                   // of leaseTrips, below which a lease is extended
	nearDeep  = 4.0                    // of leaseDeep: a packet may be lost twice
	lateBy    = 100 * time.Millisecond // after the others, a block may come that a peer is given

	hedgeTime   = 250 * time.Millisecond // silence at the floor after which another is asked
	hedgeTrips  = 4
	hedgeBlocks = 2                      // and longer than so many blocks take
	coldTime    = 500 * time.Millisecond // the same for a peer of unknown rate, which is not blamed
	hedgeFirst  = 1 << 20                // budget of hedges at the start
	hedgeEarn   = 50                     // one byte is earned for so many that arrived
	silentTime  = 2 * time.Second        // silence after which a lease is given up
	silentCold  = 5 * time.Second        // the same of a peer of unknown rate: a block of 1 MiB on 2 Mbit/s
	silentTrips = 8
	silentMax   = time.Minute
	lateTime    = 100 * time.Millisecond // of a Ticked after its Wake, by which we know that we were held up

	restMin = 250 * time.Millisecond
	restMax = 30 * time.Second

	askMin  = 500 * time.Millisecond // between broadcasts
	askMax  = 15 * time.Second
	askIdle = time.Second // while a peer idles that may have more than it said

	sparing      = 4                      // a spared leader's rate is divided by this, by pauses between its leases
	sparedLeast  = 2                      // blocks in such a lease, at least: one alone tells no rate
	leaderBurst  = 16                     // times faster than the others that a leader may look by serving seldom
	leaderAlone  = 300 * time.Millisecond // in which a leader that nobody else stands beside gives one cold lease
	releaseShare = 4                      // a Release is this part of the window, at most
	firstMean    = 64 << 10               // a block's size while none has arrived

	stuckTime = 2 * time.Second
)
