package p2ptest

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
)

const rawProtocol = "/raw/1"

// rawTimeout bounds a raw transfer, in virtual time.
const rawTimeout = time.Hour

// Raw is how long raw libp2p streams take to move bytes[i] from the place i+1, over
// from[i], to place 0, over to: one stream from each, all at once, alone on a
// network of their own. It counts from the moment when all are connected to the
// last byte.
func Raw(roundTrip time.Duration, to Link, from []Link, bytes []int64) (time.Duration, error) {
	n := New(roundTrip)
	defer n.Close()
	reader, err := n.host(0, to)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(context.Background(), rawTimeout)
	defer cancel()
	ids := make([]peer.ID, len(from))
	var hosts []host.Host
	defer func() {
		for _, h := range hosts {
			_ = h.Close()
		}
	}()
	for i, l := range from {
		h, err := n.host(i+1, l)
		if err != nil {
			return 0, err
		}
		hosts = append(hosts, h)
		h.SetStreamHandler(rawProtocol, func(s network.Stream) { write(s, bytes[i]) })
		ids[i] = h.ID()
		if err := reader.Connect(ctx, peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	var all errgroup.Group
	for i, id := range ids {
		all.Go(func() error {
			s, err := reader.NewStream(ctx, id, rawProtocol)
			if err != nil {
				return err
			}
			return read(s, bytes[i])
		})
	}
	err = all.Wait()
	return time.Since(start), err
}

// write answers one byte with so many.
func write(s network.Stream, bytes int64) {
	var go1 [1]byte
	if _, err := io.ReadFull(s, go1[:]); err != nil {
		_ = s.Reset()
		return
	}
	buf := make([]byte, 64<<10)
	for bytes > 0 {
		n, err := s.Write(buf[:min(bytes, int64(len(buf)))])
		if err != nil {
			_ = s.Reset()
			return
		}
		bytes -= int64(n)
	}
	_ = s.Close()
}

func read(s network.Stream, bytes int64) error {
	if _, err := s.Write([]byte{1}); err != nil {
		return err
	}
	got, err := io.Copy(io.Discard, s)
	if err == nil && got != bytes {
		err = fmt.Errorf("%d bytes came, not %d", got, bytes)
	}
	return err
}
