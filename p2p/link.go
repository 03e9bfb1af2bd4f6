package p2p

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/logmesh/logmesh/codec"
)

// Limits of what is kept about peers.
const (
	maxHeard   = 256             // peers that are merely heard of
	maxRefused = 1024            // peers whose refusal is remembered
	forget     = 5 * time.Minute // after which a peer that is merely heard of is dropped
)

// link is what a group knows of one peer. Guarded by Group.mu.
type link struct {
	peer    peer.ID
	name    codec.PeerID
	addrs   []ma.Multiaddr // where it said it can be dialled
	boot    bool           // one of Config.Peers
	member  bool           // in the group's configuration
	heard   time.Time      // when it was last announced, or last bonded
	keeping bool           // a keeper runs
	poke    chan struct{}  // asks the keeper to try now
	changed chan struct{}  // closed, and replaced, when bond changes

	bond    *bond    // nil: none
	ended   uint32   // how many bonds ended
	attempt *attempt // a bond that we are making; nil: none
	raft    *sender  // of this bond
	serving map[protocol.ID]*stream
}

// bond says that a peer proved the group key. It is replaced, never changed,
// except for log, which Group.mu guards.
type bond struct {
	theirs incarnation
	log    codec.LogID
	told   chan struct{}   // closed when the Handler knows
	ctx    context.Context // ends with the bond
	cancel context.CancelFunc
}

// attempt is one try to bond as dialer. All who need the bond wait for it.
type attempt struct {
	done chan struct{}
	err  error // set before done
}

// refusal remembers why there is no bond with a peer, so that it is told once.
type refusal struct {
	reason string
	waits  backoff
	until  time.Time // we do not ask before
}

// link finds or makes the link of a peer. g.mu is held.
func (g *Group) link(p peer.ID) *link {
	l := g.links[p]
	if l == nil {
		l = &link{
			peer: p, name: codec.PeerID(p.String()),
			poke: make(chan struct{}, 1), changed: make(chan struct{}),
			serving: map[protocol.ID]*stream{},
		}
		g.links[p] = l
	}
	return l
}

// known reports whether the peer is more than merely heard of. g.mu is held.
func (l *link) known() bool { return l.boot || l.member }

// want notes a peer that we try to bond with for as long as it is wanted.
func (g *Group) want(p peer.ID, note func(*link)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || p == g.net.id {
		return
	}
	l := g.link(p)
	note(l)
	if l.known() {
		g.net.host.ConnManager().Protect(p, g.tag())
	}
	g.keepLocked(l)
	kick(l.poke)
}

// heardOf notes a peer that says it takes part in the group.
func (g *Group) heardOf(p peer.ID, addrs []ma.Multiaddr) {
	g.mu.Lock()
	if g.links[p] == nil && g.heardCount() >= maxHeard {
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	g.want(p, func(l *link) {
		l.heard = time.Now()
		if len(addrs) > 0 && !l.boot {
			l.addrs = addrs
		}
	})
}

func (g *Group) heardCount() int {
	n := 0
	for _, l := range g.links {
		if !l.known() {
			n++
		}
	}
	return n
}

// establish notes that p proved the key. It reports false when the connection
// is gone already, or the group closed.
func (g *Group) establish(p peer.ID, theirs incarnation, log codec.LogID) bool {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return false
	}
	l := g.link(p)
	delete(g.refused, p)
	if l.bond != nil && l.bond.theirs == theirs {
		l.bond.log = log
		g.mu.Unlock()
		return true
	}
	if l.bond != nil {
		g.endLocked(l)
	}
	b := &bond{theirs: theirs, log: log, told: make(chan struct{})}
	b.ctx, b.cancel = context.WithCancel(g.ctx)
	l.bond = b
	close(l.changed)
	l.changed = make(chan struct{})
	g.net.host.ConnManager().Protect(p, g.tag())
	name := l.name
	_, boot := g.net.boot[p]
	g.notices.add(func() {
		g.cfg.Handler.Bonded(name, log, boot)
		close(b.told)
	})
	g.keepLocked(l)
	g.mu.Unlock()
	g.net.log.Debug("bonded", "group", g.cfg.Name, "peer", name, "log", log.Short())
	// Disconnected is told after the connection left the host's list: either it
	// is seen here, or the notification sees the bond.
	if !g.net.connected(p) {
		g.unbond(p, b)
		return false
	}
	return true
}

// unbond ends the bond with p, if it is b or b is nil.
func (g *Group) unbond(p peer.ID, b *bond) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.links[p]; l != nil && l.bond != nil && (b == nil || l.bond == b) {
		g.endLocked(l)
	}
}

func (g *Group) endLocked(l *link) {
	l.bond.cancel()
	l.bond, l.raft = nil, nil
	l.ended++
	l.heard = time.Now()
	close(l.changed)
	l.changed = make(chan struct{})
	if !l.known() {
		g.net.host.ConnManager().Unprotect(l.peer, g.tag())
	}
	name := l.name
	g.notices.add(func() { g.cfg.Handler.Unbonded(name) })
	g.net.log.Debug("bond ended", "group", g.cfg.Name, "peer", name)
}

func (g *Group) bonded(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.links[p]
	return l != nil && l.bond != nil
}

func (g *Group) isBonding(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.links[p]
	return l != nil && (l.bond != nil || l.attempt != nil)
}

// awaitBond is the bond with p, once the Handler knows it. If we are making one
// its end is awaited: the other side may already use what we have not yet seen
// to be accepted. nil: none.
func (g *Group) awaitBond(p peer.ID) *bond {
	for {
		g.mu.Lock()
		l := g.links[p]
		if l == nil || l.bond == nil && l.attempt == nil {
			g.mu.Unlock()
			return nil
		}
		b, a, changed := l.bond, l.attempt, l.changed
		g.mu.Unlock()
		if b != nil {
			select {
			case <-b.told:
				return b
			case <-b.ctx.Done():
				return nil
			}
		}
		select {
		case <-a.done:
		case <-changed:
		case <-g.ctx.Done():
			return nil
		}
	}
}

// checkLog compares a log id that a bonded peer states with ours, and notes it.
// If they differ the bond ends.
func (g *Group) checkLog(p peer.ID, b *bond, theirs codec.LogID) bool {
	if ours := g.claims(); logsDiffer(ours.log, theirs) {
		g.unbond(p, b)
		g.refuse(p, ours.logDiffers(theirs, 0))
		return false
	}
	if !theirs.IsZero() {
		g.mu.Lock()
		b.log = theirs
		g.mu.Unlock()
	}
	return true
}

// Rebond looks again at every bond after our log id has become known: a peer
// that stated another one is refused. The announcer does so by itself within
// about a second.
func (g *Group) Rebond() {
	type stated struct {
		peer peer.ID
		bond *bond
		log  codec.LogID
	}
	var all []stated
	g.mu.Lock()
	for p, l := range g.links {
		if l.bond != nil {
			all = append(all, stated{p, l.bond, l.bond.log})
		}
	}
	g.mu.Unlock()
	for _, s := range all {
		if !g.checkLog(s.peer, s.bond, s.log) && g.enter() {
			go func() {
				defer g.wg.Done()
				_, _ = g.ensure(g.ctx, s.peer) // so that it hears why
			}()
		}
	}
}

// refuse notes why there is no bond with p, and tells the Handler unless it
// knows. We ask that peer again only after a long wait.
func (g *Group) refuse(p peer.ID, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	r := g.refused[p]
	if r == nil {
		if len(g.refused) >= maxRefused {
			for other := range g.refused { // any
				delete(g.refused, other)
				break
			}
		}
		r = &refusal{waits: refusedBackoff()}
		g.refused[p] = r
	}
	if now := time.Now(); now.After(r.until) {
		r.until = now.Add(r.waits.wait())
	}
	if reason := err.Error(); r.reason != reason && g.reports.Allow() {
		r.reason = reason
		name := codec.PeerID(p.String())
		g.notices.add(func() { g.cfg.Handler.Refused(name, fmt.Errorf("peer %s: %w", name, err)) })
	}
}
