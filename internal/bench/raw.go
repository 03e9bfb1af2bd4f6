package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/logmesh/logmesh/p2p"
)

const partRaw = "raw"

// raw is one end of a plain stream.
type raw struct{ host *p2p.Bare }

func newRaw(*slog.Logger) *part {
	r := &raw{}
	return &part{
		verbs: map[string]verb{"serve": on(r.serve), "read": on(r.read)},
		close: r.close,
	}
}

// rawStep is how many bytes are written, or read, at once.
const rawStep = 256 << 10

// serve gives who opens a stream as many bytes as it asks for.
func (r *raw) serve(context.Context, none) (addr string, err error) {
	buf := make([]byte, rawStep)
	fillRandom(buf)
	return r.listen(func(s p2p.Stream) {
		var head [8]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			return
		}
		for left := binary.BigEndian.Uint64(head[:]); left > 0; {
			n, err := s.Write(buf[:min(left, rawStep)])
			if err != nil {
				return // the reader says so
			}
			left -= uint64(n)
		}
	})
}

func (r *raw) listen(serve func(p2p.Stream)) (addr string, err error) {
	seed := make([]byte, p2p.SeedSize)
	fillRandom(seed)
	if r.host, err = p2p.NewBare(seed, serve); err != nil {
		return "", err
	}
	return r.host.Addr()
}

// source is bytes to be had at an address.
type source struct {
	Addr  string
	Bytes int64
}

// read reads them into a buffer that is used again and again. The connection is made
// before.
func (r *raw) read(ctx context.Context, from source) (run, error) {
	if _, err := r.listen(nil); err != nil {
		return run{}, err
	}
	s, err := r.host.Open(ctx, from.Addr)
	if err != nil {
		return run{}, err
	}
	out, err := measure("", func() error { return readAll(s, from.Bytes) })
	return out, errors.Join(err, s.Close())
}

func readAll(s p2p.Stream, n int64) error {
	if _, err := s.Write(binary.BigEndian.AppendUint64(nil, uint64(n))); err != nil {
		return fmt.Errorf("ask for %d bytes: %w", n, err)
	}
	buf := make([]byte, rawStep)
	for left := n; left > 0; {
		got, err := s.Read(buf[:min(left, rawStep)])
		if left -= int64(got); err != nil && left > 0 {
			return fmt.Errorf("with %d bytes to go: %w", left, err)
		}
	}
	return nil
}

func (r *raw) close() error {
	if r.host == nil {
		return nil
	}
	return r.host.Close()
}
