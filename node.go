package logmesh

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/seam"
	"github.com/logmesh/logmesh/p2p"
)

// Node is a process of the network: an identity, its connections, and the
// groups that it takes part in. Its methods are safe for concurrent use.
type Node struct {
	cfg  Config
	net  *p2p.Net
	id   codec.PeerID
	log  *slog.Logger
	dial []string // bootstrap multiaddrs

	mu     sync.Mutex
	groups map[string]*Group
	closed bool
}

// Open starts a node. It fails if an address is bad or taken, or if the
// directory is not this node's. ctx bounds the start only.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	peers, err := bootstrap(cfg.Network, cfg.Peers)
	if err != nil {
		return nil, err
	}
	seed := make([]byte, p2p.SeedSize)
	if cfg.Data == "" {
		fillRandom(seed)
	} else if seed, err = loadIdentity(cfg.Data); err != nil {
		return nil, err
	}
	layer := p2p.Config{
		Key: seed, Network: cfg.Network, Listen: cfg.Listen, Peers: peers,
		NetworkKey: cfg.NetworkKey, Logger: cfg.Logger,
	}
	seam.Of(ctx).P2P(&layer)
	net, err := p2p.New(ctx, layer)
	if err != nil {
		return nil, err
	}
	return &Node{cfg: cfg, net: net, id: net.ID(), log: cfg.Logger, dial: peers, groups: map[string]*Group{}}, nil
}

// bootstrap is the multiaddrs of peers, which may be tickets.
func bootstrap(network string, peers []string) ([]string, error) {
	var out []string
	for _, p := range peers {
		if !IsTicket(p) {
			out = append(out, p)
			continue
		}
		t, err := ParseTicket(p)
		if err != nil {
			return nil, err
		}
		if t.Network != network {
			return nil, fmt.Errorf("the ticket is for network %q, this node is in %q", t.Network, network)
		}
		out = append(out, t.Peers...)
	}
	return out, nil
}

// ID is the node's peer id.
func (n *Node) ID() codec.PeerID { return n.id }

// Addrs are the multiaddrs, with /p2p, under which others reach the node: what
// Config.Peers and --join take.
func (n *Node) Addrs() []string { return n.net.Addrs() }

// Close stops all groups and the network. Memberships stay.
func (n *Node) Close() error {
	n.mu.Lock()
	groups := make([]*Group, 0, len(n.groups))
	for _, g := range n.groups {
		if g != nil { // nil: being opened; Join sees that the node is closed
			groups = append(groups, g)
		}
	}
	n.closed = true
	n.mu.Unlock()
	var first error
	for _, g := range groups {
		if err := g.Close(); err != nil && first == nil {
			first = err
		}
	}
	if err := n.net.Close(); err != nil && first == nil {
		first = err
	}
	return first
}

// reserve takes the name of a group that is being opened.
func (n *Node) reserve(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	if _, ok := n.groups[name]; ok {
		return fmt.Errorf("this node takes part in group %q already", name)
	}
	n.groups[name] = nil
	return nil
}

// put enters a group under its reserved name. It fails if the node was closed
// meanwhile.
func (n *Node) put(name string, g *Group) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	n.groups[name] = g
	return nil
}

// forget frees a group's name.
func (n *Node) forget(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.groups, name)
}
