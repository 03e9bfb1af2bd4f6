package p2p

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/logmesh/logmesh/codec"
)

// Group is a group that was opened on a Net: its bonds, streams and gossip. Its
// methods are safe for concurrent use.
type Group struct {
	// set once
	net     *Net
	cfg     GroupConfig
	id      codec.GroupID
	key     [32]byte // proves bonds
	seal    *seal
	opened  [12]byte // names this opening of the group
	version uint64
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	topic   *groupTopic
	notices *notices
	dials   chan struct{} // room for dials of peers that are merely heard of
	reports *rate.Limiter // of refusals
	calls   *gate         // being answered

	mu      sync.Mutex
	links   map[peer.ID]*link
	refused map[peer.ID]*refusal
	closed  bool
}

// incarnation names what a side of a bond takes for one bond: 12 bytes for one
// opening of the group on its node, 4 bytes that count its bonds with the peer
// that ended. It stands in the first half of the nonces of Hello, so that a peer
// that came back, or has lost the bond that we still see, is told from one that
// merely proves itself twice.
type incarnation [16]byte

// closeWait bounds how long Close waits for a Handler that does not return
// although its streams are reset and its contexts ended.
const closeWait = 10 * time.Second

// OpenGroup takes part in a group: it announces it, bonds with who proves the
// key and serves them. The Handler may be called before OpenGroup returns.
func (n *Net) OpenGroup(cfg GroupConfig) (*Group, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return n.openGroup(cfg, codec.ProtocolVersion)
}

func (n *Net) openGroup(cfg GroupConfig, version uint64) (*Group, error) {
	n.opening.Lock()
	defer n.opening.Unlock()
	g := newGroup(n, cfg, version)
	if n.isClosed() {
		return nil, ErrClosed
	}
	if n.group(g.id) != nil {
		return nil, fmt.Errorf("group %q is open already", cfg.Name)
	}
	topic, err := newGroupTopic(g)
	if err != nil {
		g.cancel()
		g.wg.Wait()
		return nil, fmt.Errorf("gossip of group %q: %w", cfg.Name, err)
	}
	g.topic = topic
	g.wg.Go(g.notices.run)
	n.mu.Lock()
	n.groups[g.id] = g
	n.mu.Unlock()
	for p, b := range n.boot {
		kick(b.kick)
		g.want(p, func(l *link) { l.boot, l.addrs = true, b.addrs })
	}
	n.ads.stir()
	return g, nil
}

func newGroup(n *Net, cfg GroupConfig, version uint64) *Group {
	id := codec.GroupIDOf(n.network, cfg.Name)
	g := &Group{
		net: n, cfg: cfg, id: id, version: version,
		key: derive(cfg.Key, bondLabel), seal: newSeal(cfg.Key, id),
		dials: make(chan struct{}, 8), reports: rate.NewLimiter(1, 64), calls: newGate(callsInAll, callsOfPeer),
		links: map[peer.ID]*link{}, refused: map[peer.ID]*refusal{},
	}
	_, _ = rand.Read(g.opened[:]) // it never fails
	g.ctx, g.cancel = context.WithCancel(n.ctx)
	g.notices = newNotices(g.ctx)
	return g
}

// ID is the group's id.
func (g *Group) ID() codec.GroupID { return g.id }

// claims is what we say about ourselves, now.
func (g *Group) claims() claims {
	c := claims{log: g.cfg.Log(), machine: g.cfg.Machine, version: g.version}
	if g.cfg.Before != nil {
		c.before = g.cfg.Before()
	}
	return c
}

// Bonds lists the peers with which a bond stands, sorted.
func (g *Group) Bonds() []codec.PeerID {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := []codec.PeerID{}
	for _, l := range g.links {
		if l.bond != nil {
			out = append(out, l.name)
		}
	}
	slices.Sort(out)
	return out
}

// Know says who belongs to the group: these are dialled for ever, and keep
// their place when strangers come in numbers. It replaces what was known.
func (g *Group) Know(members []codec.Member) {
	known := map[peer.ID]bool{}
	for _, m := range members {
		p, err := decodePeer(m.Peer)
		if err != nil || p == g.net.id {
			continue
		}
		known[p] = true
		g.want(p, func(l *link) {
			l.member = true
			if addrs := dialable(p, m.Addrs); len(addrs) > 0 {
				l.addrs = addrs
			}
		})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for p, l := range g.links {
		if l.member && !known[p] {
			l.member, l.heard = false, time.Now()
			g.net.host.ConnManager().Unprotect(p, g.tag())
		}
	}
}

func (g *Group) tag() string { return "group " + g.id.Short() }

// Close ends all bonds, streams and goroutines of the group. It must not be
// called from the Handler. An error says that a Handler did not return.
func (g *Group) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	for p := range g.links {
		g.net.host.ConnManager().Unprotect(p, g.tag())
	}
	g.mu.Unlock()
	g.cancel() // ends every bond's context, and with it the streams
	g.leave()
	done := make(chan struct{})
	go func() { g.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(closeWait):
		return fmt.Errorf("group %q: a handler has not returned after %v", g.cfg.Name, closeWait)
	}
}

// leave takes the group out of the node; from then on it can be opened again.
func (g *Group) leave() {
	n := g.net
	n.opening.Lock()
	defer n.opening.Unlock()
	g.topic.close()
	n.mu.Lock()
	delete(n.groups, g.id)
	n.mu.Unlock()
	for _, b := range n.boot {
		kick(b.kick)
	}
	n.ads.stir()
}

// enter counts a goroutine that serves the group, unless it is closed.
func (g *Group) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.wg.Add(1)
	return true
}
