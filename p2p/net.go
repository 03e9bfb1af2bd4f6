package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/logmesh/logmesh/codec"
)

// The protocols. doc.go says what travels on each.
const (
	protoBond  protocol.ID = "/logmesh/1/bond"
	protoRaft  protocol.ID = "/logmesh/1/raft"
	protoSync  protocol.ID = "/logmesh/1/sync"
	protoReply protocol.ID = "/logmesh/1/reply"
	protoCall  protocol.ID = "/logmesh/1/call"
)

// dialTimeout bounds one attempt to connect to a peer, over all its addresses.
const dialTimeout = 10 * time.Second

// Net is a node of a network: a libp2p host, the gossip, and the groups that
// were opened on it. Its methods are safe for concurrent use.
type Net struct {
	// set once
	host    host.Host
	id      peer.ID
	self    codec.PeerID
	network codec.NetworkID
	log     *slog.Logger
	boot    map[peer.ID]*bootPeer
	wait    deadlines
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	gossip  *gossip
	ads     *announcer
	links   links // nothing, unless built to make faults
	strange *gate // bond attempts of peers that are nothing to us
	known   *gate // bond attempts of members and bootstrap peers

	opening sync.Mutex // held while a group is opened or leaves

	mu     sync.Mutex
	groups map[codec.GroupID]*Group
	closed bool
}

// bootPeer is one of Config.Peers.
type bootPeer struct {
	addrs []ma.Multiaddr
	kick  chan struct{} // its connection went, or a group came or went
}

// New starts a node: it listens, keeps its bootstrap peers connected and
// announces itself. ctx bounds the start only; Close ends the node. Errors name
// the address, and the part of it, that is bad or taken.
func New(ctx context.Context, cfg Config) (*Net, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	boot, err := mergePeers(cfg.Peers)
	if err != nil {
		return nil, fmt.Errorf("peers: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	captureLogs(cfg.Logger)
	links := newLinks()
	h := cfg.Host
	if h == nil {
		if h, err = newHost(&cfg, append(links.options(), cfg.HostOptions...)...); err != nil {
			return nil, err
		}
	}
	h = links.over(h)
	if cfg.Over != nil {
		h = cfg.Over(h)
	}
	n := newNet(&cfg, h, boot)
	n.links = links
	if err := n.start(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func newNet(cfg *Config, h host.Host, boot []peer.AddrInfo) *Net {
	n := &Net{
		host: h, id: h.ID(), self: codec.PeerID(h.ID().String()),
		network: codec.NetworkIDOf(cfg.Network), log: cfg.Logger,
		boot: map[peer.ID]*bootPeer{}, wait: usualDeadlines(),
		strange: newGate(32, 2), known: newGate(256, 4),
		groups: map[codec.GroupID]*Group{},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	for _, info := range boot {
		if info.ID == n.id {
			continue // a list of peers that is the same for all nodes names us too
		}
		n.boot[info.ID] = &bootPeer{addrs: info.Addrs, kick: make(chan struct{}, 1)}
		h.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
		h.ConnManager().Protect(info.ID, "bootstrap")
	}
	return n
}

func (n *Net) start() error {
	n.host.Network().Notify(&network.NotifyBundle{DisconnectedF: n.disconnected})
	n.host.SetStreamHandler(protoBond, n.serve(n.serveBond))
	n.host.SetStreamHandler(protoRaft, n.serve(n.serveRaft))
	n.host.SetStreamHandler(protoSync, n.serve(n.serveSync))
	n.host.SetStreamHandler(protoReply, n.serve(n.serveReply))
	n.host.SetStreamHandler(protoCall, n.serve(n.serveCall))
	gossip, err := newGossip(n)
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	n.gossip = gossip
	if n.ads, err = newAnnouncer(n); err != nil {
		return fmt.Errorf("announcements: %w", err)
	}
	for id, b := range n.boot {
		n.wg.Go(func() { n.keepBoot(id, b) })
	}
	return nil
}

// serve makes a stream handler whose end Close waits for.
func (n *Net) serve(handle func(network.Stream)) network.StreamHandler {
	return func(s network.Stream) {
		n.mu.Lock()
		if n.closed {
			n.mu.Unlock()
			_ = s.ResetWithError(codeClosed)
			return
		}
		n.wg.Add(1)
		n.mu.Unlock()
		defer n.wg.Done()
		handle(s)
	}
}

// ID is the node's peer id.
func (n *Net) ID() codec.PeerID { return n.self }

// Addrs are the multiaddrs at which the node can be dialled, each with its
// /p2p part, as Config.Peers takes them.
func (n *Net) Addrs() []string {
	var out []string
	for _, a := range n.host.Addrs() {
		out = append(out, a.String()+"/p2p/"+string(n.self))
	}
	return out
}

// Close ends all groups and connections and waits for every goroutine. It must
// not be called from a Handler.
func (n *Net) Close() error {
	n.opening.Lock()
	n.mu.Lock()
	closed := n.closed
	n.closed = true
	n.mu.Unlock()
	n.opening.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, g := range n.open() {
		errs = append(errs, g.Close())
	}
	n.cancel()
	errs = append(errs, n.host.Close())
	n.wg.Wait()
	return errors.Join(errs...)
}

func (n *Net) isClosed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

// group is the open group with that id, or nil.
func (n *Net) group(id codec.GroupID) *Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.groups[id]
}

// open lists the open groups.
func (n *Net) open() []*Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]*Group, 0, len(n.groups))
	for _, g := range n.groups {
		out = append(out, g)
	}
	return out
}

// connect makes sure that there is a connection. libp2p's own back-off, of
// minutes, is cleared: who calls has one.
func (n *Net) connect(ctx context.Context, p peer.ID, addrs []ma.Multiaddr) error {
	if n.connected(p) {
		return nil
	}
	if s, ok := n.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(p)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := n.host.Connect(ctx, peer.AddrInfo{ID: p, Addrs: addrs}); err != nil {
		return fmt.Errorf("connect to %s: %w", p, err)
	}
	return nil
}

func (n *Net) connected(p peer.ID) bool {
	return n.host.Network().Connectedness(p) == network.Connected
}

// disconnected hears that a connection is gone. Only the last one counts.
func (n *Net) disconnected(_ network.Network, c network.Conn) {
	p := c.RemotePeer()
	if n.connected(p) {
		return
	}
	if b := n.boot[p]; b != nil {
		kick(b.kick)
	}
	for _, g := range n.open() {
		g.unbond(p, nil)
	}
	if n.gossip != nil {
		n.gossip.filter.forget(p)
	}
}

// cut closes the connections to a peer with which no group has a bond.
func (n *Net) cut(p peer.ID, code network.StreamErrorCode) {
	for _, g := range n.open() {
		if g.bonded(p) {
			return
		}
	}
	for _, c := range n.host.Network().ConnsToPeer(p) {
		_ = c.CloseWithError(network.ConnErrorCode(code))
	}
}

// keepBoot keeps a bootstrap peer connected while no group is open; each open
// group does so itself, and knows when a peer is better left alone.
func (n *Net) keepBoot(p peer.ID, b *bootPeer) {
	waits := dialBackoff()
	for n.ctx.Err() == nil {
		var again <-chan time.Time
		if len(n.open()) == 0 && !n.connected(p) {
			if err := n.connect(n.ctx, p, b.addrs); err != nil {
				n.log.Debug("bootstrap peer not reached", "peer", p, "err", err)
				again = time.After(waits.wait())
			} else {
				waits.reset()
			}
		}
		select {
		case <-again:
		case <-b.kick:
		case <-n.ctx.Done():
		}
	}
}

// kick wakes who waits on a channel with room for one.
func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
