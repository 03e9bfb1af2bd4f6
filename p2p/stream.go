package p2p

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/logmesh/logmesh/codec"
)

// deadlines bound every wait on a stream.
type deadlines struct {
	bond  time.Duration // a whole bond exchange: four frames
	open  time.Duration // the first frame, and opening a stream
	frame time.Duration // the rest of a frame that has begun
	write time.Duration // one frame to be taken
	cut   time.Duration // before a connection is closed on a peer that is told why
}

func usualDeadlines() deadlines {
	return deadlines{
		bond: 10 * time.Second, open: 10 * time.Second,
		frame: 30 * time.Second, write: 20 * time.Second,
		cut: time.Second,
	}
}

// stream is a stream of a group with a reader that buffers. It ends with the
// bond on which it was opened.
type stream struct {
	network.Stream
	r     *bufio.Reader
	group *Group
	bond  *bond
}

// newStream binds s to a bond. release must be called when the stream is done.
func newStream(s network.Stream, g *Group, b *bond) (st *stream, release func()) {
	st = &stream{Stream: s, r: bufio.NewReaderSize(s, 64<<10), group: g, bond: b}
	stop := context.AfterFunc(b.ctx, func() { _ = s.ResetWithError(codeNotBonded) })
	return st, func() { stop() }
}

// Read reads; an end that means that the other side has no bond with us ends
// ours, so that it is made anew.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil {
		s.heed(err)
	}
	return n, err
}

func (s *stream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	if err != nil {
		s.heed(err)
	}
	return n, err
}

func (s *stream) heed(err error) {
	switch remoteCode(err) {
	case codeNotBonded, codeNoGroup, codeClosed, codeLog:
		s.group.unbond(s.Conn().RemotePeer(), s.bond)
	}
}

// send writes one frame within the deadline for writing.
func (s *stream) send(m codec.Message) error {
	frame, err := codec.AppendFrame(nil, m)
	if err != nil {
		return err
	}
	return s.sendBytes(frame)
}

func (s *stream) sendBytes(frame []byte) error {
	_ = s.SetWriteDeadline(time.Now().Add(s.group.net.wait.write))
	_, err := s.Write(frame)
	_ = s.SetWriteDeadline(time.Time{})
	return err
}

// next reads one frame of an allowed type. It waits for the first byte for
// ever, and for the rest of the frame until its deadline.
func (s *stream) next(buf []byte, allowed ...codec.FrameType) (codec.FrameType, []byte, error) {
	if _, err := s.r.Peek(1); err != nil {
		s.heed(err)
		return 0, nil, err
	}
	_ = s.SetReadDeadline(time.Now().Add(s.group.net.wait.frame))
	t, body, err := codec.ReadFrame(s, buf, allowed...)
	_ = s.SetReadDeadline(time.Time{})
	return t, body, err
}

// sendTo writes a frame on a bare stream, under the stream's own deadline.
func sendTo(s network.Stream, m codec.Message) error {
	frame, err := codec.AppendFrame(nil, m)
	if err != nil {
		return err
	}
	_, err = s.Write(frame)
	return err
}

// receive reads a frame of m's type into m, under the stream's own deadline.
func receive(s interface{ Read([]byte) (int, error) }, m codec.Message) error {
	_, body, err := codec.ReadFrame(s, nil, codec.TypeOf(m))
	if err != nil {
		return err
	}
	return codec.Decode(body, m)
}

// openStream opens a stream of a group protocol to a peer, on a bond; if there
// is none it is made. ctx bounds all of that.
func (g *Group) openStream(ctx context.Context, p peer.ID, proto protocol.ID) (network.Stream, *bond, error) {
	b, err := g.ensure(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	s, err := g.openOn(ctx, p, proto)
	if err != nil {
		return nil, nil, err
	}
	return s, b, nil
}

// openOn opens a stream on a connection that exists.
func (g *Group) openOn(ctx context.Context, p peer.ID, proto protocol.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, g.net.wait.open)
	defer cancel()
	s, err := g.net.host.NewStream(network.WithNoDial(ctx, "bond"), p, proto)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, p, err)
	}
	return s, nil
}

// opening is the first frame of a stream that a bonded peer opened.
type opening interface {
	codec.Message
	*codec.Open | *codec.RaftOpen
}

// admit reads the first frame of an incoming stream into open and finds the
// group and the bond that it belongs to. A stream of a stranger is reset before
// anything of it is read; any other that does not fit afterwards.
func admit[M opening](n *Net, s network.Stream, open M, names func(M) (codec.GroupID, codec.LogID)) (st *stream, release func(), ok bool) {
	p := s.Conn().RemotePeer()
	if !n.bonding(p) {
		_ = s.ResetWithError(codeNotBonded)
		return nil, nil, false
	}
	_ = s.SetReadDeadline(time.Now().Add(n.wait.open))
	if err := receive(s, open); err != nil {
		_ = s.ResetWithError(codeProtocol)
		return nil, nil, false
	}
	_ = s.SetReadDeadline(time.Time{})
	id, log := names(open)
	g := n.group(id)
	if g == nil {
		_ = s.ResetWithError(codeNoGroup)
		return nil, nil, false
	}
	b := g.awaitBond(p)
	if b == nil {
		_ = s.ResetWithError(codeNotBonded)
		return nil, nil, false
	}
	if !g.checkLog(p, b, log) {
		_ = s.ResetWithError(codeLog)
		return nil, nil, false
	}
	if !g.enter() {
		_ = s.ResetWithError(codeNoGroup)
		return nil, nil, false
	}
	st, unbind := newStream(s, g, b)
	return st, func() { unbind(); g.wg.Done() }, true
}

// alone makes st the only stream of its protocol from its peer: an older one is
// reset. release must be called when st is done.
func (g *Group) alone(st *stream) (release func()) {
	p, proto := st.Conn().RemotePeer(), st.Protocol()
	g.mu.Lock()
	l := g.link(p)
	old := l.serving[proto]
	l.serving[proto] = st
	g.mu.Unlock()
	if old != nil {
		_ = old.ResetWithError(codeReplaced)
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if l.serving[proto] == st {
			delete(l.serving, proto)
		}
	}
}

func openNames(o *codec.Open) (codec.GroupID, codec.LogID)         { return o.Group, o.Log }
func raftOpenNames(o *codec.RaftOpen) (codec.GroupID, codec.LogID) { return o.Group, o.Log }

// bonding reports whether any group has a bond with p, or is making one.
func (n *Net) bonding(p peer.ID) bool {
	for _, g := range n.open() {
		if g.isBonding(p) {
			return true
		}
	}
	return false
}

// decodePeer turns a peer id into libp2p's.
func decodePeer(id codec.PeerID) (peer.ID, error) {
	p, err := peer.Decode(string(id))
	if err != nil {
		return "", fmt.Errorf("peer id %q: %w", id, err)
	}
	return p, nil
}
