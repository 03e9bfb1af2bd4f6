//go:build chaos

package p2p

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// faultyHost is a host whose streams can be muted.
type faultyHost struct {
	host.Host
	links links
}

func (h *faultyHost) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	h.Host.SetStreamHandler(id, h.handler(handle))
}

func (h *faultyHost) SetStreamHandlerMatch(id protocol.ID, match func(protocol.ID) bool, handle network.StreamHandler) {
	h.Host.SetStreamHandlerMatch(id, match, h.handler(handle))
}

func (h *faultyHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return newFaultyStream(s, h.links), nil
}

func (h *faultyHost) handler(handle network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) { handle(newFaultyStream(s, h.links)) }
}

// faultyStream is a stream from which nothing is read while its peer is muted.
// Its reads are serial, as those of any stream here; the rest is concurrent.
type faultyStream struct {
	network.Stream
	links links
	ended chan struct{} // closed when it was reset here

	held []byte // owned by the reader: arrived, and not handed over in time
	err  error  // what came after held

	mu       sync.Mutex
	once     sync.Once
	deadline time.Time // for reading
}

func newFaultyStream(s network.Stream, l links) *faultyStream {
	return &faultyStream{Stream: s, links: l, ended: make(chan struct{})}
}

// Read hands over what arrived, once the peer is not muted. An end that the peer
// made is held back as its bytes are.
func (s *faultyStream) Read(p []byte) (int, error) {
	n, err := len(s.held), s.err
	if n == 0 && err == nil {
		n, err = s.Stream.Read(p)
		s.held = p[:n]
	}
	s.mu.Lock()
	deadline := s.deadline
	s.mu.Unlock()
	if late := s.links.await(s.Conn().RemotePeer(), s.ended, deadline); late != nil {
		s.held, s.err = slices.Clone(s.held), err
		return 0, late
	}
	n = copy(p, s.held) // onto itself, if it was just read
	if s.held = s.held[n:]; len(s.held) > 0 {
		s.err = err
		return n, nil
	}
	s.held, s.err = nil, nil
	return n, err
}

func (s *faultyStream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	return s.Stream.SetReadDeadline(t)
}

func (s *faultyStream) SetDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	return s.Stream.SetDeadline(t)
}

func (s *faultyStream) Reset() error {
	s.end()
	return s.Stream.Reset()
}

func (s *faultyStream) ResetWithError(code network.StreamErrorCode) error {
	s.end()
	return s.Stream.ResetWithError(code)
}

func (s *faultyStream) CloseRead() error {
	s.end()
	return s.Stream.CloseRead()
}

func (s *faultyStream) Close() error {
	s.end()
	return s.Stream.Close()
}

func (s *faultyStream) end() { s.once.Do(func() { close(s.ended) }) }
