package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/logmesh/logmesh/codec"
)

// Limits that are the same for every group.
const (
	// MaxMessage bounds the entries of one MsgApp in bytes, if it has more than
	// one. With one of the greatest size a message stays below 1.2 MiB.
	MaxMessage = 1 << 20
	// MaxUncommitted is how many bytes of proposals a leader holds before it
	// says ErrNoQuorum.
	MaxUncommitted = 64 << 20

	maxInflightMessages = 256
	maxInflightBytes    = 16 << 20
	maxCommitted        = 4 << 20 // bytes of committed entries that wait for Advance
	maxEntriesRead      = 4096    // entries in one read of the log
)

// Log is the raft view of the durable log. Errors other than codec.ErrCompacted
// and codec.ErrUnavailable end the Core.
type Log interface {
	// Entries gives [lo, hi), at least one and as many as fit in maxBytes.
	Entries(lo, hi codec.Index, maxBytes uint64) ([]codec.Entry, error)
	// Term answers in [FirstIndex−1, LastIndex].
	Term(i codec.Index) (codec.Term, error)
	FirstIndex() codec.Index
	LastIndex() codec.Index
	// RaftApplied is read after an adoption: the cursor's index, and the
	// configuration there as the ledger derived it.
	RaftApplied() (codec.Index, codec.Configuration)
}

// Config says what a Core is opened on.
type Config struct {
	ID   codec.RaftID
	Log  Log
	Hard codec.HardState

	// Applied is raft-applied, and Members the configuration there: empty at 0.
	Applied codec.Index
	Members codec.Configuration

	// Sealed gives the newest sealed cursor and the configuration there: the
	// metadata of a MsgSnap. The zero cursor: nothing is sealed yet.
	Sealed func() (codec.Cursor, codec.Configuration)
	// BlockOf numbers the sealed block that holds an index; it measures how far
	// a lease may hold the horizon back. Nil: every block has 128 entries.
	BlockOf func(codec.Index) (number uint64, first codec.Index, err error)

	Tick           time.Duration // d: 100 ms; only turns durations into ticks
	ElectionTicks  int           // d: 10; an election takes up to twice that
	HeartbeatTicks int           // d: 1
	ReplaceDead    time.Duration // d: 60 s without a word, and a voter is replaced
	HorizonBlocks  int           // d: 128
	Logger         *slog.Logger  // d: discards
}

func (c *Config) defaults() {
	if c.Tick == 0 {
		c.Tick = 100 * time.Millisecond
	}
	if c.ElectionTicks == 0 {
		c.ElectionTicks = 10
	}
	if c.HeartbeatTicks == 0 {
		c.HeartbeatTicks = 1
	}
	if c.ReplaceDead == 0 {
		c.ReplaceDead = time.Minute
	}
	if c.HorizonBlocks == 0 {
		c.HorizonBlocks = 128
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.BlockOf == nil {
		c.BlockOf = func(i codec.Index) (uint64, codec.Index, error) {
			number := (uint64(i) - 1) / codec.BlockEntries
			return number, codec.Index(number*codec.BlockEntries + 1), nil
		}
	}
}

// Validate reports what the Raft library would panic on.
func (c *Config) Validate() error {
	switch {
	case !validID(c.ID):
		return fmt.Errorf("consensus: raft id %v cannot be used", c.ID)
	case c.Log == nil || c.Sealed == nil:
		return errors.New("consensus: a log and its sealed cursor are needed")
	case c.Tick < 0 || c.HeartbeatTicks < 0 || c.ElectionTicks <= c.HeartbeatTicks:
		return fmt.Errorf("consensus: elections after %d ticks with heartbeats each %d", c.ElectionTicks, c.HeartbeatTicks)
	}
	return c.validateIndexes()
}

// validateIndexes checks first−1 ≤ applied ≤ commit ≤ last.
func (c *Config) validateIndexes() error {
	before, last := c.Log.FirstIndex()-1, c.Log.LastIndex()
	commit := c.Hard.Commit
	if c.Hard == (codec.HardState{}) {
		commit = before
	}
	if commit < before || commit > last {
		return fmt.Errorf("consensus: commit index %d is outside the log, [%d, %d]", commit, before, last)
	}
	if c.Applied < before || c.Applied > commit {
		return fmt.Errorf("consensus: applied index %d is outside [%d, %d]", c.Applied, before, commit)
	}
	return nil
}

// validID refuses 0 and the two ids by which the library means its own threads.
func validID(id codec.RaftID) bool {
	return id != 0 && !raft.IsLocalMsgTarget(uint64(id))
}

func (c *Config) raft(s raft.Storage) *raft.Config {
	return &raft.Config{
		ID:                        uint64(c.ID),
		ElectionTick:              c.ElectionTicks,
		HeartbeatTick:             c.HeartbeatTicks,
		Storage:                   s,
		Applied:                   uint64(c.Applied),
		AsyncStorageWrites:        true, // the Core is both storage threads, see the package comment
		MaxSizePerMsg:             MaxMessage,
		MaxCommittedSizePerReady:  maxCommitted,
		MaxUncommittedEntriesSize: MaxUncommitted,
		MaxInflightMsgs:           maxInflightMessages,
		MaxInflightBytes:          maxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    logger{c.Logger},
	}
}

// ticks is how many ticks d takes, at least one.
func (c *Config) ticks(d time.Duration) uint64 {
	return uint64(max(1, (d+c.Tick-1)/c.Tick))
}
