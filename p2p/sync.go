package p2p

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/logmesh/logmesh/codec"
)

// OpenSync opens a sync stream to a peer, bonding first if there is no bond.
// Open is written; the caller goes on with frames, and closes or resets the
// stream. ctx bounds the opening only. The stream ends with the bond.
func (g *Group) OpenSync(ctx context.Context, to codec.PeerID) (Stream, error) {
	st, release, err := g.start(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := st.send(g.opening()); err != nil {
		release()
		_ = st.ResetWithError(codeProtocol)
		return nil, explain(err)
	}
	return &syncStream{stream: st, release: release}, nil
}

func (g *Group) start(ctx context.Context, to codec.PeerID) (*stream, func(), error) {
	p, err := decodePeer(to)
	if err != nil {
		return nil, nil, err
	}
	s, b, err := g.openStream(ctx, p, protoSync)
	if err != nil {
		return nil, nil, err
	}
	st, release := newStream(s, g, b)
	return st, release, nil
}

func (g *Group) opening() *codec.Open {
	return &codec.Open{Group: g.id, Log: g.cfg.Log(), Nonce: rand.Uint64()}
}

// syncStream is a Stream that lets go of its bond when it ends.
type syncStream struct {
	*stream
	release func()
}

func (s *syncStream) Close() error {
	s.release()
	return s.stream.Close()
}

func (s *syncStream) Reset() error {
	s.release()
	return s.stream.Reset()
}

// serveSync hands a sync stream to the Handler. A second one of the same peer
// replaces the first.
func (n *Net) serveSync(s network.Stream) {
	var open codec.Open
	st, release, ok := admit(n, s, &open, openNames)
	if !ok {
		return
	}
	defer release()
	defer st.group.alone(st)()
	st.group.cfg.Handler.ServeSync(codec.PeerID(s.Conn().RemotePeer().String()), st)
	_ = st.Close()
}

// Reply answers a request that was heard by gossip: a stream that carries Open
// and the reply alone. It bonds first if there is no bond; a requester of which
// no address is known yet gets a few seconds to announce one.
func (g *Group) Reply(ctx context.Context, to codec.PeerID, m codec.AvailabilityReply) error {
	p, err := decodePeer(to)
	if err != nil {
		return err
	}
	b, err := g.ensureSoon(ctx, p)
	if err != nil {
		return err
	}
	s, err := g.openOn(ctx, p, protoReply)
	if err != nil {
		return err
	}
	st, release := newStream(s, g, b)
	defer release()
	frames, err := codec.AppendFrame(nil, g.opening())
	if err == nil {
		frames, err = codec.AppendFrame(frames, &m)
	}
	if err == nil {
		err = st.sendBytes(frames)
	}
	if err != nil {
		_ = st.ResetWithError(codeProtocol)
		return explain(err)
	}
	return st.Close()
}

// serveReply reads a one-shot reply.
func (n *Net) serveReply(s network.Stream) {
	var open codec.Open
	st, release, ok := admit(n, s, &open, openNames)
	if !ok {
		return
	}
	defer release()
	_ = st.SetReadDeadline(time.Now().Add(n.wait.frame))
	var m codec.AvailabilityReply
	if err := receive(st, &m); err != nil {
		_ = st.ResetWithError(codeProtocol)
		return
	}
	_ = st.Close()
	st.group.cfg.Handler.AvailabilityReplied(codec.PeerID(s.Conn().RemotePeer().String()), m)
}
