package replay

import "github.com/logmesh/logmesh/codec"

// digestsKept is how many block ends a Core remembers the digest of.
const digestsKept = 64

// blockEnds are the digests of the newest block ends.
type blockEnds struct {
	blocks  uint64 // ended so far
	end     codec.Index
	digests [digestsKept]codec.Digest // by block number, modulo
}

func (b *blockEnds) add(end codec.Index, d codec.Digest) {
	b.digests[b.blocks%digestsKept] = d
	b.blocks++
	b.end = end
}

func (b *blockEnds) at(block uint64) (codec.Digest, bool) {
	if block >= b.blocks || b.blocks-block > digestsKept {
		return codec.Digest{}, false
	}
	return b.digests[block%digestsKept], true
}

// BlockDigest is the digest at the newest block end, and the index of that
// block's last entry: both zero if no block has ended yet.
func (c *Core) BlockDigest() (d codec.BlockDigest, end codec.Index) {
	if c.ends.blocks == 0 {
		return codec.BlockDigest{}, 0
	}
	d.Block = c.ends.blocks - 1
	d.Digest, _ = c.ends.at(d.Block)
	return d, c.ends.end
}

// DigestAt is the digest at the end of a block, if it is one of the newest 64.
func (c *Core) DigestAt(block uint64) (codec.Digest, bool) { return c.ends.at(block) }
