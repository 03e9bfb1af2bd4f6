package p2ptest

import (
	"bytes"
	"context"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/logmesh/logmesh/codec"
)

// replyProtocol is that of the streams by which a node answers what it heard by
// gossip.
const replyProtocol protocol.ID = "/logmesh/1/reply"

func (h *faultyHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil || len(ids) != 1 || ids[0] != replyProtocol || h.faults.Rewrite == nil {
		return s, err
	}
	return &replyStream{Stream: s, change: h.faults.Rewrite}, nil
}

// replyStream carries one reply, which goes out when the stream is closed.
type replyStream struct {
	network.Stream
	change func(codec.FrameType, []byte) []byte
	held   bytes.Buffer
}

func (r *replyStream) Write(p []byte) (int, error) { return r.held.Write(p) }

func (r *replyStream) Close() error {
	var out []byte
	for r.held.Len() > 0 {
		kind, body, err := codec.ReadFrame(&r.held, nil, codec.TypeOpen, codec.TypeAvailabilityReply)
		if err != nil {
			_ = r.Reset()
			return err
		}
		body = r.change(kind, body)
		out = append(codec.AppendFrameHead(out, kind, len(body)), body...)
	}
	if _, err := r.Stream.Write(out); err != nil {
		return err
	}
	return r.Stream.Close()
}
