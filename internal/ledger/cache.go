package ledger

import (
	"slices"
	"sync"

	"github.com/logmesh/logmesh/codec"
)

// cachedBlocks bounds the cache of decoded blocks; a block is at most
// codec.MaxBlock bytes, and usually far smaller.
const cachedBlocks = 8

// blockCache keeps the blocks that were decoded last: Raft, replay and the
// provider often read one block in several steps. Entries in it are never
// changed, so they may be handed out.
type blockCache struct {
	mu     sync.Mutex
	blocks []decoded // least recently used first
	drops  int       // how often blocks were dropped
}

type decoded struct {
	number  uint64
	entries []codec.Entry
}

func (d decoded) holds(i codec.Index) bool {
	return d.entries[0].Index <= i && i <= d.entries[len(d.entries)-1].Index
}

func (c *blockCache) find(match func(decoded) bool) (decoded, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := slices.IndexFunc(c.blocks, match)
	if n < 0 {
		return decoded{}, false
	}
	d := c.blocks[n]
	c.blocks = append(slices.Delete(c.blocks, n, n+1), d)
	return d, true
}

// age is for put, and is taken before a block is read.
func (c *blockCache) age() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops
}

// put adds a block, unless blocks were dropped since it was read.
func (c *blockCache) put(d decoded, age int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if age != c.drops {
		return
	}
	if len(c.blocks) == cachedBlocks {
		c.blocks = slices.Delete(c.blocks, 0, 1)
	}
	c.blocks = append(c.blocks, d)
}

// drop forgets the blocks from number on.
func (c *blockCache) drop(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.blocks = slices.DeleteFunc(c.blocks, func(d decoded) bool { return d.number >= number })
}
