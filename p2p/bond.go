package p2p

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/logmesh/logmesh/codec"
)

// nonce is our incarnation towards p and 16 fresh bytes.
func (g *Group) nonce(p peer.ID) codec.Hash {
	var n codec.Hash
	copy(n[:], g.opened[:])
	g.mu.Lock()
	if l := g.links[p]; l != nil {
		binary.BigEndian.PutUint32(n[len(g.opened):], l.ended)
	}
	g.mu.Unlock()
	_, _ = rand.Read(n[len(incarnation{}):]) // it never fails
	return n
}

// dialBond proves the key to p on a new stream and checks its proof.
func (g *Group) dialBond(ctx context.Context, p peer.ID) error {
	s, err := g.openOn(ctx, p, protoBond)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.ResetWithError(codeClosed) })
	defer stop()
	_ = s.SetDeadline(time.Now().Add(g.net.wait.bond))
	if err := g.askBond(s, p); err != nil {
		code := codeProtocol
		if errors.Is(err, ErrWrongKey) {
			code = codeWrongKey
		}
		_ = s.ResetWithError(code)
		if code == codeWrongKey {
			g.net.cut(p, codeWrongKey)
		}
		return g.bondFailed(p, err)
	}
	return s.Close()
}

// askBond is the dialer's side.
func (g *Group) askBond(s network.Stream, p peer.ID) error {
	ours := g.claims()
	x := exchange{group: g.id, dialer: g.net.self, listener: codec.PeerID(p.String()), dialerNonce: g.nonce(p)}
	if err := sendTo(s, &codec.Hello{Group: g.id, Nonce: x.dialerNonce}); err != nil {
		return explain(err)
	}
	var hello codec.Hello
	if err := receive(s, &hello); err != nil {
		return explain(err)
	}
	if hello.Group != g.id {
		return fmt.Errorf("%w: it answered for another group", codec.ErrMessage)
	}
	x.listenerNonce = hello.Nonce
	proof := codec.Proof{
		MAC: x.prove(g.key, sideDialer, ours), Log: ours.log, Machine: ours.machine, Version: ours.version, Before: ours.before,
	}
	if err := sendTo(s, &proof); err != nil {
		return explain(err)
	}
	theirs, err := g.hearAnswer(s, &x, ours)
	if err != nil {
		return err
	}
	if !g.establish(p, incarnation(hello.Nonce[:16]), theirs.log) {
		return ErrNotBonded
	}
	return nil
}

// hearAnswer reads Accept or Refuse and checks the listener's proof.
func (g *Group) hearAnswer(s network.Stream, x *exchange, ours claims) (claims, error) {
	t, body, err := codec.ReadFrame(s, nil, codec.TypeAccept, codec.TypeRefuse)
	if err != nil {
		return claims{}, explain(err)
	}
	if t == codec.TypeRefuse {
		var m codec.Refuse
		if err := codec.Decode(body, &m); err != nil {
			return claims{}, err
		}
		return claims{}, refusedBy(m, ours)
	}
	var m codec.Accept
	if err := codec.Decode(body, &m); err != nil {
		return claims{}, err
	}
	theirs := claims{log: m.Log, machine: m.Machine, version: m.Version}
	if !x.proved(g.key, sideListener, theirs, m.MAC) {
		return claims{}, ErrWrongKey
	}
	if differs := ours.differs(theirs); differs != nil {
		return claims{}, differs
	}
	return theirs, nil
}

// refusedBy is a Refuse seen from our side. Our own value is ours to say.
func refusedBy(m codec.Refuse, ours claims) error {
	e := &RefusedError{Field: m.Field, Theirs: m.Ours}
	switch m.Field {
	case "machine":
		e.Ours = ours.machine
	case "log":
		theirs, err := codec.ParseHash(m.Ours)
		if err != nil {
			return fmt.Errorf("%w: refused because of log %w", codec.ErrMessage, err)
		}
		return ours.logDiffers(theirs, m.Ended)
	case "version":
		e.Ours = versionText(ours.version)
	case "busy":
		return ErrBusy
	default:
		return fmt.Errorf("%w: refused because of %q", codec.ErrMessage, m.Field)
	}
	return e
}

// isRefusal reports whether one side refused the other for good.
func isRefusal(err error) bool {
	var refused *RefusedError
	return errors.Is(err, ErrWrongKey) || errors.As(err, &refused)
}

// bondFailed notes a refusal; other failures are left to the back-off.
func (g *Group) bondFailed(p peer.ID, err error) error {
	if isRefusal(err) {
		if errors.Is(err, ErrWrongKey) {
			err = ErrWrongKey // without how the stream ended, which differs each time
		}
		g.unbond(p, nil)
		g.refuse(p, err)
	}
	return fmt.Errorf("bond with %s: %w", p, err)
}

// serveBond is the listener's side.
func (n *Net) serveBond(s network.Stream) {
	p := s.Conn().RemotePeer()
	gate := n.strange
	if n.isKnown(p) {
		gate = n.known
	}
	if !gate.enter(p) {
		_ = s.ResetWithError(codeBusy)
		return
	}
	defer gate.leave(p)
	_ = s.SetDeadline(time.Now().Add(n.wait.bond))
	var hello codec.Hello
	if err := receive(s, &hello); err != nil {
		_ = s.ResetWithError(codeProtocol)
		return
	}
	g := n.group(hello.Group)
	if g == nil || !g.enter() {
		_ = s.ResetWithError(codeNoGroup)
		return
	}
	defer g.wg.Done()
	stop := context.AfterFunc(g.ctx, func() { _ = s.ResetWithError(codeClosed) })
	defer stop()
	if err := g.answerBond(s, p, hello); err != nil {
		g.net.log.Debug("bond refused", "group", g.cfg.Name, "peer", p, "err", err)
		return
	}
	_ = s.Close()
}

// answerBond proves our key only to who has proved it to us. Without the right
// proof there is no answer, and the connection is closed.
func (g *Group) answerBond(s network.Stream, p peer.ID, hello codec.Hello) error {
	x := exchange{
		group: g.id, dialer: codec.PeerID(p.String()), listener: g.net.self,
		dialerNonce: hello.Nonce, listenerNonce: g.nonce(p),
	}
	var m codec.Proof
	err := sendTo(s, &codec.Hello{Group: g.id, Nonce: x.listenerNonce})
	if err == nil {
		err = receive(s, &m)
	}
	if err != nil {
		_ = s.ResetWithError(codeProtocol)
		return err
	}
	theirs := claims{log: m.Log, machine: m.Machine, version: m.Version, before: m.Before}
	if !x.proved(g.key, sideDialer, theirs, m.MAC) {
		_ = s.ResetWithError(codeWrongKey)
		err := g.bondFailed(p, ErrWrongKey)
		// The dialer closes the connection when it has read why. Closing it here at
		// once could lose the reset, and with it the reason.
		g.wg.Go(func() { g.cutLater(s.Conn()) })
		return err
	}
	ours := g.claims()
	if differs := ours.differs(theirs); differs != nil {
		err := sendTo(s, &codec.Refuse{Field: differs.Field, Ours: differs.Ours, Theirs: differs.Theirs, Ended: differs.TheirsEnded})
		_ = s.Close()
		return errors.Join(g.bondFailed(p, differs), err)
	}
	accept := codec.Accept{MAC: x.prove(g.key, sideListener, ours), Log: ours.log, Machine: ours.machine, Version: ours.version}
	// The bond stands before the dialer hears of it, so that its first stream
	// finds it.
	if !g.establish(p, incarnation(hello.Nonce[:16]), theirs.log) {
		_ = s.ResetWithError(codeClosed)
		return ErrNotBonded
	}
	return sendTo(s, &accept)
}

// cutLater closes a connection whose other end was told why and stays.
func (g *Group) cutLater(c network.Conn) {
	pause := time.NewTimer(g.net.wait.cut)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-g.ctx.Done():
	}
	if !c.IsClosed() {
		g.net.cut(c.RemotePeer(), codeWrongKey)
	}
}

// isKnown reports whether a peer is a bootstrap peer, a member of a group, or
// bonded.
func (n *Net) isKnown(p peer.ID) bool {
	if n.boot[p] != nil {
		return true
	}
	for _, g := range n.open() {
		if g.isKnown(p) {
			return true
		}
	}
	return false
}

func (g *Group) isKnown(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.links[p]
	return l != nil && (l.known() || l.bond != nil)
}
