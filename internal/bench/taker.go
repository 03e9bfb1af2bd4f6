package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/p2p"
)

const partTaker = "taker"

// taker is the catching-up end of the bare pipeline: what a catch-up would be without
// actors, a plan, several peers, Raft and client sessions. Its stages read, prove and
// decode, store, and apply, each in a goroutine of its own.
type taker struct {
	log *slog.Logger
	raw raw
}

func newTaker(log *slog.Logger) *part {
	t := &taker{log: log}
	return &part{verbs: map[string]verb{"take": on(t.take)}, close: t.raw.close}
}

// takeArgs says what to take.
type takeArgs struct {
	Place    place
	Addr     string
	Head     codec.Head // agreed
	Machine  string
	Commands uint64 // must have reached the machine
	Profile  string
}

// take measures as the joiner does: with the connection and the ledger to be made.
func (t *taker) take(ctx context.Context, args takeArgs) (run, error) {
	m, err := observe(args.Machine)
	if err != nil {
		return run{}, err
	}
	if _, err := t.raw.listen(nil); err != nil {
		return run{}, err
	}
	var l *ledger.Ledger
	out, err := measure(args.Profile, func() (err error) {
		if l, err = ledger.Open(args.Place.ledgerOptions("taker")); err != nil {
			return err
		}
		s, err := t.raw.host.Open(ctx, args.Addr)
		if err != nil {
			return err
		}
		p := &pipeline{head: args.Head, ledger: l, machine: m, ctx: ctx}
		err = p.run(s)
		_ = s.Close() // all was read, or the stream was reset
		return err
	})
	if l != nil {
		err = errors.Join(err, l.Close())
	}
	if err == nil && m.commands != args.Commands {
		err = fmt.Errorf("%d of %d commands reached the machine", m.commands, args.Commands)
	}
	return out, err
}

// pipeline is one run of the stages.
type pipeline struct {
	head    codec.Head
	ledger  *ledger.Ledger
	machine machine.Machine
	ctx     context.Context
}

// proofGroup is the blocks of a group on their way. All of them lie in buf.
type proofGroup struct {
	first   uint64
	leaves  []codec.Hash
	encoded [][]byte
	blocks  []ledger.Block // once they are proved
	buf     []byte
}

func (p *pipeline) run(s p2p.Stream) error {
	if _, err := s.Write([]byte{1}); err != nil {
		return err
	}
	read := make(chan proofGroup, readAhead)
	proved := make(chan proofGroup, readAhead)
	stored := make(chan []proofGroup, readAhead)
	free := make(chan []byte, 64)
	all, ctx := errgroup.WithContext(p.ctx)
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	all.Go(func() error {
		defer close(read)
		return p.read(ctx, bufio.NewReaderSize(s, 64<<10), free, read)
	})
	all.Go(func() error {
		defer close(proved)
		return p.prove(ctx, read, proved)
	})
	all.Go(func() error {
		defer close(stored)
		return p.store(ctx, proved, stored)
	})
	all.Go(func() error { return p.apply(stored, free) })
	return all.Wait()
}

// pass hands v on, unless a stage has failed.
func pass[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipeline) read(ctx context.Context, r io.Reader, free <-chan []byte, to chan<- proofGroup) error {
	for first := uint64(0); first < p.head.Blocks; first += codec.ProofGroup {
		g, err := p.readGroup(r, reuse(free), first)
		if err != nil {
			return fmt.Errorf("read the group of block %d: %w", first, err)
		}
		if err := pass(ctx, to, g); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipeline) readGroup(r io.Reader, buf []byte, first uint64) (proofGroup, error) {
	g := proofGroup{first: first}
	_, frame, err := codec.ReadFrame(r, nil, codec.TypeLeaves)
	if err != nil {
		return g, err
	}
	var m codec.Leaves
	if err := codec.Decode(frame, &m); err != nil {
		return g, err
	}
	root, err := codec.ProvedRoot(p.head.Blocks, first, m.Left, m.Leaves, m.Right)
	if err != nil || root != p.head.Root {
		return g, fmt.Errorf("the leaves do not prove: root %s, not %s: %w", root.Short(), p.head.Root.Short(), err)
	}
	g.leaves = m.Leaves
	lengths := make([]byte, 4*len(m.Leaves))
	if _, err := io.ReadFull(r, lengths); err != nil {
		return g, err
	}
	total := 0
	for i := range g.leaves {
		total += int(binary.BigEndian.Uint32(lengths[4*i:]))
	}
	if total > len(g.leaves)*codec.MaxBlock {
		return g, fmt.Errorf("a group of %d bytes", total)
	}
	if cap(buf) < total {
		buf = make([]byte, total)
	}
	g.buf = buf[:total]
	if _, err := io.ReadFull(r, g.buf); err != nil {
		return g, err
	}
	rest := g.buf
	for i := range g.leaves {
		n := binary.BigEndian.Uint32(lengths[4*i:])
		g.encoded = append(g.encoded, rest[:n:n])
		rest = rest[n:]
	}
	return g, nil
}

// prove holds blocks against their leaves, and decodes them.
func (p *pipeline) prove(ctx context.Context, from <-chan proofGroup, to chan<- proofGroup) error {
	for g := range from {
		g.blocks = make([]ledger.Block, len(g.encoded))
		for i, data := range g.encoded {
			if codec.Leaf(data) != g.leaves[i] {
				return fmt.Errorf("block %d is not its leaf", g.first+uint64(i))
			}
			var err error
			if g.blocks[i], err = ledger.DecodeBlock(data, g.leaves[i]); err != nil {
				return fmt.Errorf("block %d: %w", g.first+uint64(i), err)
			}
		}
		if err := pass(ctx, to, g); err != nil {
			return err
		}
	}
	return nil
}

// store makes groups durable, several in one write.
func (p *pipeline) store(ctx context.Context, from <-chan proofGroup, to chan<- []proofGroup) error {
	var held []proofGroup
	var blocks []ledger.Block
	bytes := 0
	release := func() error {
		if len(held) == 0 {
			return nil
		}
		if err := p.ledger.ReleaseBlocks(held[0].first, blocks); err != nil {
			return err
		}
		err := pass(ctx, to, held)
		held, blocks, bytes = nil, nil, 0
		return err
	}
	for g := range from {
		held, blocks, bytes = append(held, g), append(blocks, g.blocks...), bytes+len(g.buf)
		if bytes < ledgerStep {
			continue
		}
		if err := release(); err != nil {
			return err
		}
	}
	return release()
}

// apply gives the commands of blocks to the machine, a block at a time.
func (p *pipeline) apply(from <-chan []proofGroup, free chan<- []byte) error {
	var batch machine.Batch
	for groups := range from {
		for _, g := range groups {
			for i := range g.blocks {
				if err := p.applyBlock(g.blocks[i].Entries, &batch); err != nil {
					return err
				}
			}
			select {
			case free <- g.buf:
			default:
			}
		}
	}
	return nil
}

func (p *pipeline) applyBlock(entries []codec.Entry, batch *machine.Batch) error {
	batch.Reset()
	for _, e := range entries {
		if e.Kind != codec.KindCommand {
			continue
		}
		c, err := codec.DecodeCommand(e.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Index, err)
		}
		if !c.Opens() {
			batch.Add(e.Index, c.Payload)
		}
	}
	p.machine.Apply(batch)
	return nil
}
