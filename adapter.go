package logmesh

import (
	"context"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/p2p"
)

// network and handler introduce p2p and actors to each other: the two packages
// state what they need in interfaces of their own, which differ only in the
// name of the stream's type.
type network struct{ *p2p.Group }

func (n network) OpenSync(ctx context.Context, to codec.PeerID) (actors.Stream, error) {
	return n.Group.OpenSync(ctx, to)
}

type handler struct {
	*actors.Group
	owner   *Group
	founded chan codec.LogID // a peer's log, told while this node looks before founding
}

func (h *handler) Bonded(peer codec.PeerID, log codec.LogID, bootstrap bool) {
	h.owner.bonded(peer)
	if h.owner.looking() && !log.IsZero() {
		select {
		case h.founded <- log:
		default:
		}
		return
	}
	known := !h.owner.ledger.LogID().IsZero()
	h.Group.Bonded(peer, log, bootstrap)
	if !known && !h.owner.ledger.LogID().IsZero() {
		go h.owner.rebond()
	}
}

func (h *handler) Refused(peer codec.PeerID, err error) {
	h.owner.refusedBy(peer, err)
	h.Group.Refused(peer, err)
}

func (h *handler) ServeSync(from codec.PeerID, s p2p.Stream) { h.Group.ServeSync(from, s) }

var (
	_ actors.Network = network{}
	_ p2p.Handler    = (*handler)(nil)
)
