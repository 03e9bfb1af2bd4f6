package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Messages of the storer.
type (
	// release makes blocks durable that the plan let go in order.
	release struct {
		session uint64
		first   uint64
		blocks  [][]byte
		leaves  []codec.Hash // of the blocks
		fill    bool         // they fill a hole
		reply   *actor.PID
	}
	// stored says that all blocks below through are durable.
	stored struct {
		session uint64
		through uint64
		bytes   int64
		entries uint64
	}
	// storeFailed says that the ledger refused blocks which the plan released.
	storeFailed struct {
		session uint64
		err     error
	}
)

// storer is the actor that writes the synced view, so that neither the
// coordinator nor replay waits for the disk.
type storer struct {
	ledger *ledger.Ledger
	replay *actor.PID
	credit *credit // of replay
	fail   func(error)
}

func (s *storer) Receive(ctx actor.Context) {
	m, ok := ctx.Message().(release)
	if !ok {
		return
	}
	before := s.ledger.Whole()
	store := s.store
	if m.fill {
		store = s.fill
	}
	blocks, err := store(m)
	if err != nil {
		s.refused(ctx, m, err)
		return
	}
	after := s.ledger.Whole()
	s.hand(ctx, blocks)
	ctx.Send(s.replay, advance{to: after})
	ctx.Send(m.reply, stored{
		session: m.session, through: m.first + uint64(len(m.blocks)), bytes: totalBytes(m.blocks), entries: uint64(after - before),
	})
}

func (s *storer) fill(m release) ([]ledger.Block, error) {
	return nil, s.ledger.Fill(m.first, m.blocks)
}

// store appends what the ledger does not have yet, and returns it. Raft may seal
// some of the blocks at the same time: theirs are left to the comparison of the
// roots.
func (s *storer) store(m release) ([]ledger.Block, error) {
	first, blocks := m.first, make([]ledger.Block, len(m.blocks))
	for i, data := range m.blocks {
		var err error
		if blocks[i], err = ledger.DecodeBlock(data, m.leaves[i]); err != nil {
			return nil, fmt.Errorf("block %d: %w", first+uint64(i), err)
		}
	}
	for {
		have := s.ledger.Head().Blocks
		if have > first {
			skip := min(have-first, uint64(len(blocks)))
			first, blocks = first+skip, blocks[skip:]
		}
		if len(blocks) == 0 {
			return nil, nil
		}
		err := s.ledger.ReleaseBlocks(first, blocks)
		if err == nil {
			return blocks, nil
		}
		if s.ledger.Head().Blocks == have {
			return nil, err
		}
	}
}

// hand gives replay the blocks that are stored now as they are in memory, as far
// as it has credit; the rest it reads in the ledger.
func (s *storer) hand(ctx actor.Context, blocks []ledger.Block) {
	for i := range blocks {
		size := sizeOf(blocks[i].Entries)
		if !s.credit.take(size) {
			return
		}
		ctx.Send(s.replay, committed{entries: blocks[i].Entries, bytes: size})
	}
}

// refused tells a failed disk, which stops the group, from blocks that do not
// fit the log, which end the session.
func (s *storer) refused(ctx actor.Context, m release, err error) {
	err = fmt.Errorf("store blocks from %d: %w", m.first, err)
	if s.ledger.Failed() != nil {
		s.fail(err)
		return
	}
	ctx.Send(m.reply, storeFailed{session: m.session, err: err})
}

func totalBytes(blocks [][]byte) int64 {
	n := 0
	for _, b := range blocks {
		n += len(b)
	}
	return int64(n)
}

var _ actor.Actor = (*storer)(nil)

// lastIndex is the index of the last entry, 0 without entries.
func lastIndex(entries []codec.Entry) codec.Index {
	if len(entries) == 0 {
		return 0
	}
	return entries[len(entries)-1].Index
}
