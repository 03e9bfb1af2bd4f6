//go:build chaos

package p2p

import (
	"os"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/logmesh/logmesh/codec"
)

// Block cuts the links to peers: their connections are closed, and no new one is
// let through in either direction until Unblock. Only this side has to do it; the
// other one finds that it cannot connect.
func (n *Net) Block(peers ...codec.PeerID) error {
	ids, err := decodePeers(peers)
	if err != nil {
		return err
	}
	n.links.set(ids, blocked)
	for _, p := range ids {
		_ = n.host.Network().ClosePeer(p) // there may be none
	}
	return nil
}

// Mute makes the links from peers one-way: connections stay, what we send still
// arrives there, and nothing that they send is read here until Unblock. It then
// goes on where it stood still, as after packets that were sent again.
func (n *Net) Mute(peers ...codec.PeerID) error {
	ids, err := decodePeers(peers)
	if err == nil {
		n.links.set(ids, muted)
	}
	return err
}

// Unblock mends the links to peers; without any, all links.
func (n *Net) Unblock(peers ...codec.PeerID) error {
	ids, err := decodePeers(peers)
	if err == nil {
		n.links.mend(ids)
	}
	return err
}

// Links lists the peers whose links are blocked, and those that are muted,
// sorted.
func (n *Net) Links() (blocked, muted []codec.PeerID) { return n.links.list() }

func decodePeers(names []codec.PeerID) ([]peer.ID, error) {
	ids := make([]peer.ID, len(names))
	for i, name := range names {
		var err error
		if ids[i], err = decodePeer(name); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// links are the faults of the connections to other peers, brought about here on
// purpose. It is the host's connection gater, and stands between the host and
// the streams.
type links struct{ *linkFaults }

type linkFaults struct {
	mu      sync.Mutex
	of      map[peer.ID]fault // none: whole
	changed chan struct{}     // closed, and replaced, when a fault comes or goes
}

type fault int

const (
	blocked fault = 1 + iota
	muted
)

func newLinks() links {
	return links{&linkFaults{of: map[peer.ID]fault{}, changed: make(chan struct{})}}
}

// options makes the links the gater of a host that is about to be made.
func (l links) options() []libp2p.Option { return []libp2p.Option{libp2p.ConnectionGater(gater{l})} }

// over is h with streams that can be muted.
func (l links) over(h host.Host) host.Host {
	// A connection that passed the gater before its peer was blocked may enter the
	// host's list after the others were closed.
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if l.cut(c.RemotePeer()) {
			_ = c.Close()
		}
	}})
	return &faultyHost{Host: h, links: l}
}

func (l *linkFaults) set(peers []peer.ID, f fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range peers {
		l.of[p] = f
	}
	l.stirLocked()
}

func (l *linkFaults) mend(peers []peer.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range peers {
		delete(l.of, p)
	}
	if len(peers) == 0 {
		clear(l.of)
	}
	l.stirLocked()
}

func (l *linkFaults) stirLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// cut reports whether the links to p are blocked.
func (l *linkFaults) cut(p peer.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[p] == blocked
}

func (l *linkFaults) list() (cut, still []codec.PeerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, f := range l.of {
		if name := codec.PeerID(p.String()); f == blocked {
			cut = append(cut, name)
		} else {
			still = append(still, name)
		}
	}
	slices.Sort(cut)
	slices.Sort(still)
	return cut, still
}

// await waits until nothing of p is muted. It fails when the stream was ended
// here, or its deadline for reading passed.
func (l *linkFaults) await(p peer.ID, ended <-chan struct{}, deadline time.Time) error {
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	for {
		l.mu.Lock()
		still, changed := l.of[p] == muted, l.changed
		l.mu.Unlock()
		if !still {
			return nil
		}
		select {
		case <-changed:
		case <-ended:
			return network.ErrReset
		case <-late:
			return os.ErrDeadlineExceeded
		}
	}
}

// gater lets no connection through to or from a blocked peer.
type gater struct{ links links }

func (g gater) InterceptPeerDial(p peer.ID) bool { return !g.links.cut(p) }

func (g gater) InterceptAddrDial(p peer.ID, _ ma.Multiaddr) bool { return !g.links.cut(p) }

func (g gater) InterceptAccept(network.ConnMultiaddrs) bool { return true } // by whom is not known yet

func (g gater) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return !g.links.cut(p)
}

func (g gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return !g.links.cut(c.RemotePeer()), 0
}
