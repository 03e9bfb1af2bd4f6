package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// aimAtHole makes a plan one for the first hole of the ledger. It is false if
// there is none. Any bonded peer may fill it: no majority is asked for the root,
// because the ledger's own leaf proves a block, and where that was lost too the
// ledger's own root does, once all blocks are here.
func (c *coordinator) aimAtHole(plan *catchup.Config) bool {
	holes := c.ledger.Holes()
	if len(holes) == 0 {
		return false
	}
	hole := holes[0]
	leaves := map[uint64]codec.Hash{}
	for n := hole.From; n < hole.To; n++ {
		if leaf, known := c.ledger.LeafOf(n); known {
			leaves[n] = leaf
		}
	}
	plan.From, plan.Target = hole.From, hole.To
	plan.Check = func(number uint64, data []byte) error {
		if leaf, known := leaves[number]; known && leaf != codec.Leaf(data) {
			return fmt.Errorf("block %d is not the one that was damaged here: it does not match our leaf", number)
		}
		return checkBlock(number, data)
	}
	return true
}

// checkBlock reports whether data is a well-formed block.
func checkBlock(_ uint64, data []byte) error {
	var b codec.Block
	return codec.DecodeBlock(data, &b)
}

// filled goes on with the next hole.
func (c *coordinator) filled(ctx actor.Context) {
	if len(c.ledger.Holes()) > 0 {
		c.restart(ctx)
		return
	}
	c.finish(ctx, nil)
}
