package p2p

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// courtesy is how long the side with the greater peer id lets the other one
// dial first, so that two peers that hear of each other make one connection.
const courtesy = 150 * time.Millisecond

// keepLocked starts the keeper of a link. g.mu is held.
func (g *Group) keepLocked(l *link) {
	if l.keeping || g.closed {
		return
	}
	l.keeping = true
	g.wg.Go(func() { g.keep(l) })
}

// keep tries to bond with a peer for as long as it is wanted: at once when the
// bond is new or lost, then with a back-off, and with a long one when there was
// a refusal.
func (g *Group) keep(l *link) {
	waits := dialBackoff()
	polite := true
	for {
		g.mu.Lock()
		if g.ctx.Err() != nil || !g.wantedLocked(l) {
			l.keeping = false
			g.dropLocked(l)
			g.mu.Unlock()
			return
		}
		b, changed, boot, rest := l.bond, l.changed, l.boot, g.restLocked(l)
		g.mu.Unlock()
		switch {
		case b != nil:
			waits.reset()
			polite = true
			g.pause(0, changed, nil)
		case rest > 0:
			g.pause(rest, changed, nil)
		case polite && !boot && g.net.id > l.peer:
			polite = false
			g.pause(courtesy+rand.N(courtesy), changed, nil)
		default:
			if g.try(l) != nil {
				g.pause(waits.wait(), changed, l.poke)
			}
		}
	}
}

// pause waits for d (0: for ever), a change of the bond, a poke, or the end.
func (g *Group) pause(d time.Duration, changed, poke <-chan struct{}) {
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	select {
	case <-timer:
	case <-changed:
	case <-poke:
	case <-g.ctx.Done():
	}
}

// try makes one attempt. Dials of peers that are merely heard of wait for each
// other, so that announcements of many do not starve those of members.
func (g *Group) try(l *link) error {
	g.mu.Lock()
	known := l.known()
	g.mu.Unlock()
	if !known && !g.net.connected(l.peer) {
		select {
		case g.dials <- struct{}{}:
			defer func() { <-g.dials }()
		case <-g.ctx.Done():
			return g.ctx.Err()
		}
	}
	_, err := g.ensure(g.ctx, l.peer)
	return err
}

func (g *Group) wantedLocked(l *link) bool {
	return l.known() || l.bond != nil || time.Since(l.heard) < forget
}

// restLocked is how long a refusal keeps us from asking.
func (g *Group) restLocked(l *link) time.Duration {
	if r := g.refused[l.peer]; r != nil {
		return time.Until(r.until)
	}
	return 0
}

// dropLocked forgets a link that nobody needs.
func (g *Group) dropLocked(l *link) {
	if !l.keeping && l.bond == nil && l.attempt == nil && g.links[l.peer] == l {
		delete(g.links, l.peer)
	}
}

// ensure is the bond with p. If there is none, one attempt is made, or the one
// under way awaited.
func (g *Group) ensure(ctx context.Context, p peer.ID) (*bond, error) {
	if p == g.net.id {
		return nil, errors.New("this is our own peer id")
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, ErrClosed
	}
	l := g.link(p)
	if b := l.bond; b != nil {
		g.mu.Unlock()
		return b, nil
	}
	a := l.attempt
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		l.attempt = a
		g.wg.Go(func() { g.run(l, a) })
	}
	g.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if a.err != nil {
		return nil, a.err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.bond == nil {
		return nil, ErrNotBonded // it came and went
	}
	return l.bond, nil
}

// soon is how long ensureSoon waits.
const soon = 5 * time.Second

// ensureSoon is ensure for a peer that may become reachable in a moment: its
// request was faster than its announcement, or it is dialling us.
func (g *Group) ensureSoon(ctx context.Context, p peer.ID) (*bond, error) {
	b, err := g.ensure(ctx, p)
	if err == nil || isRefusal(err) {
		return b, err
	}
	g.heardOf(p, nil)
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	for {
		g.mu.Lock()
		l := g.links[p]
		if l == nil {
			g.mu.Unlock()
			return nil, err
		}
		b, changed := l.bond, l.changed
		g.mu.Unlock()
		if b != nil {
			return b, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, err
		case <-g.ctx.Done():
			return nil, ErrClosed
		}
	}
}

// run is one attempt: connect, prove, hear the proof.
func (g *Group) run(l *link, a *attempt) {
	ctx, cancel := context.WithTimeout(g.ctx, dialTimeout+g.net.wait.bond)
	defer cancel()
	g.mu.Lock()
	addrs := l.addrs
	g.mu.Unlock()
	err := g.net.connect(ctx, l.peer, addrs)
	if err == nil && !g.bonded(l.peer) {
		err = g.dialBond(ctx, l.peer)
	}
	if err != nil && g.bonded(l.peer) {
		err = nil // the other side was faster
	}
	if err != nil {
		g.net.log.Debug("no bond", "group", g.cfg.Name, "peer", l.name, "err", err)
	}
	g.mu.Lock()
	l.attempt = nil
	g.dropLocked(l)
	g.mu.Unlock()
	a.err = err
	close(a.done)
}
