package p2p

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

const protoBare protocol.ID = "/logmesh/1/bare"

// Bare is a host as a node's, on a TCP port of loopback, that offers nothing but
// plain streams: no gossip, no bond. It is the yardstick for what a network of
// nodes could carry at most.
type Bare struct{ host host.Host }

// NewBare starts one under the identity of seed. serve, which may be nil, is called
// in a goroutine for each stream that comes; when it returns the stream is closed.
func NewBare(seed []byte, serve func(Stream)) (*Bare, error) {
	h, err := newHost(&Config{Key: seed, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		return nil, err
	}
	if serve != nil {
		h.SetStreamHandler(protoBare, func(s network.Stream) {
			serve(s)
			_ = s.Close() // the other side sees it, or is gone
		})
	}
	return &Bare{h}, nil
}

// Addr is a multiaddr with /p2p, as Open takes it.
func (b *Bare) Addr() (string, error) {
	for _, a := range b.host.Addrs() {
		return a.String() + "/p2p/" + b.host.ID().String(), nil
	}
	return "", errors.New("the host listens nowhere")
}

// Open connects to another Bare and opens a stream.
func (b *Bare) Open(ctx context.Context, addr string) (Stream, error) {
	a, err := ma.NewMultiaddr(addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	info, err := peer.AddrInfoFromP2pAddr(a)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	if err := b.host.Connect(ctx, *info); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	s, err := b.host.NewStream(ctx, info.ID, protoBare)
	if err != nil {
		return nil, fmt.Errorf("open a stream to %s: %w", addr, err)
	}
	return s, nil
}

// Close ends the host and its streams.
func (b *Bare) Close() error { return b.host.Close() }
