package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/p2p"
)

const partGiver = "giver"

// giver is the providing end of the bare pipeline: stored blocks over one stream, a
// proof group at a time, as they are asked for.
//
// A group on the stream is a Leaves frame, the length of each block (4 bytes, big
// endian), and the blocks.
type giver struct {
	log    *slog.Logger
	raw    raw
	ledger *ledger.Ledger
}

func newGiver(log *slog.Logger) *part {
	g := &giver{log: log}
	return &part{
		verbs: map[string]verb{"write": on(g.write), "serve": on(g.serve), "cpu": on(cpuSeconds)},
		close: g.close,
	}
}

// write makes the log, in a ledger that no member needs.
func (g *giver) write(_ context.Context, args struct {
	Place place
	Spec  logSpec
},
) (written, error) {
	o := args.Place.ledgerOptions("giver")
	o.Logger = g.log
	var err error
	if g.ledger, err = ledger.Open(o); err != nil {
		return written{}, err
	}
	bytes, err := writeLog(args.Spec, g.ledger.Release)
	return written{Head: g.ledger.Head(), Bytes: bytes}, err
}

// serve gives the log to whoever opens a stream.
func (g *giver) serve(context.Context, none) (addr string, err error) {
	return g.raw.listen(func(s p2p.Stream) {
		if err := g.give(s); err != nil {
			g.log.Error("bare pipeline: giving stopped", "err", err)
			_ = s.Reset()
		}
	})
}

// readAhead is how many groups wait between two stages.
const readAhead = 4

// give writes the groups while the next ones are read.
func (g *giver) give(s p2p.Stream) error {
	var go1 [1]byte
	if _, err := io.ReadFull(s, go1[:]); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	groups := make(chan []byte, readAhead)
	free := make(chan []byte, readAhead+2)
	var failed error
	go func() {
		defer close(groups)
		n := g.ledger.Head().Blocks
		for first := uint64(0); first < n; first += codec.ProofGroup {
			data, err := g.group(reuse(free), first, n)
			if err != nil {
				failed = err
				return
			}
			select {
			case groups <- data:
			case <-ctx.Done():
				return
			}
		}
	}()
	for data := range groups {
		if _, err := s.Write(data); err != nil {
			return err
		}
		free <- data
	}
	return failed
}

// reuse is a buffer that is free, or none.
func reuse(free <-chan []byte) []byte {
	select {
	case buf := <-free:
		return buf[:0]
	default:
		return nil
	}
}

// group appends the group that begins with block first of n.
func (g *giver) group(dst []byte, first, n uint64) ([]byte, error) {
	end := min(first+codec.ProofGroup, n)
	leaves, err1 := g.ledger.Leaves(first, end)
	left, err2 := g.ledger.Range(0, first)
	right, err3 := g.ledger.Range(end, n)
	if err := errors.Join(err1, err2, err3); err != nil {
		return dst, err
	}
	dst, err := codec.AppendFrame(dst, &codec.Leaves{
		Lease: 1, Group: first / codec.ProofGroup, Tree: n, Leaves: leaves, Left: left, Right: right,
	})
	if err != nil {
		return dst, err
	}
	lengths := len(dst)
	dst = append(dst, make([]byte, 4*(end-first))...)
	for b := first; b < end; b++ {
		data, err := g.ledger.Encoded(b)
		if err != nil {
			return dst, fmt.Errorf("block %d: %w", b, err)
		}
		binary.BigEndian.PutUint32(dst[lengths+int(4*(b-first)):], uint32(len(data)))
		dst = append(dst, data...)
	}
	return dst, nil
}

func (g *giver) close() error {
	err := g.raw.close()
	if g.ledger != nil {
		err = errors.Join(err, g.ledger.Close())
	}
	return err
}
