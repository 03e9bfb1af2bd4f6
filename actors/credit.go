package actors

import (
	"sync/atomic"

	"github.com/logmesh/logmesh/codec"
)

// What catch-up keeps in memory: blocks that are leased, held or being stored, and
// entries that are on the way to replay. Together they are the window.
const (
	window       = 64 << 20
	replayCredit = 24 << 20
	planWindow   = window - replayCredit
)

// credit bounds the bytes of entries that are on the way to replay, from Raft and
// from catch-up together: at most replayCredit. Who has none left sends the index
// only, up to which replay may read the ledger.
type credit struct{ used atomic.Int64 }

// take reports whether size bytes may be sent, and counts them.
func (c *credit) take(size int64) bool {
	if c.used.Add(size) <= replayCredit {
		return true
	}
	c.used.Add(-size)
	return false
}

func (c *credit) giveBack(size int64) { c.used.Add(-size) }

// entryCost is what an entry takes in memory beside its data, in bytes.
const entryCost = 64

// sizeOf is what entries take in memory.
func sizeOf(entries []codec.Entry) int64 {
	size := int64(0)
	for i := range entries {
		size += int64(len(entries[i].Data)) + entryCost
	}
	return size
}
