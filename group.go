package logmesh

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/seam"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/p2p"
)

// Group is this node's part in a replicated log and its machine. Its methods
// are safe for concurrent use.
type Group struct {
	node    *Node
	cfg     GroupConfig
	machine string
	ledger  *ledger.Ledger
	actors  *actors.Group
	net     *p2p.Group
	opened  chan struct{} // net is set
	done    chan struct{} // everything here is closed

	closing  sync.Once
	closeErr error

	mu      sync.Mutex
	refused map[codec.PeerID]error // why peers are not bonded
}

// foundingLook is how long a founder looks for a group that exists already.
const foundingLook = 5 * time.Second

// Join takes part in a group. The machine must be fresh: its state is rebuilt
// from the log. A directory whose node was removed from the group, or left it, is
// refused with a *RemovedError. Join returns once the group works on this node, which may still
// have to find the others and catch up: see Wait.
func (n *Node) Join(ctx context.Context, cfg GroupConfig, m machine.Machine) (*Group, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if err := n.reserve(cfg.Name); err != nil {
		return nil, err
	}
	g, err := n.join(ctx, cfg, m)
	if err != nil {
		n.forget(cfg.Name)
		return nil, err
	}
	if err := n.put(cfg.Name, g); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (n *Node) join(ctx context.Context, cfg GroupConfig, m machine.Machine) (*Group, error) {
	g := &Group{node: n, cfg: cfg, machine: m.Signature(), opened: make(chan struct{}), done: make(chan struct{}), refused: map[codec.PeerID]error{}}
	if err := g.openLedger(ctx); err != nil {
		return nil, err
	}
	g.actors = actors.New(actors.Config{
		Self: n.id, Group: g.id(), Ledger: g.ledger, Machine: m, Role: cfg.Role, Addrs: n.bareAddrs,
		ServeRate: cfg.ServeRate, Plain: cfg.NoCompression, ReplaceDead: cfg.ReplaceDead, Trust: cfg.Trust, Random: fillRandom,
		Logger: n.log.With("group", cfg.Name),
	})
	h := &handler{Group: g.actors, owner: g, founded: make(chan codec.LogID, 1)}
	var err error
	g.net, err = n.net.OpenGroup(p2p.GroupConfig{
		Name: cfg.Name, Key: cfg.Key, Machine: g.machine, Log: g.ledger.LogID, Before: g.ledger.Before, Role: g.announcedRole, Handler: h,
	})
	if err != nil {
		return nil, errors.Join(err, g.ledger.Close())
	}
	close(g.opened)
	if err := g.found(ctx, h.founded); err != nil {
		return nil, errors.Join(err, g.net.Close(), g.ledger.Close())
	}
	g.actors.Start(network{g.net})
	go g.watch()
	return g, nil
}

func (g *Group) id() codec.GroupID {
	return codec.GroupIDOf(codec.NetworkIDOf(g.node.cfg.Network), g.cfg.Name)
}

// dir is where the ledger lies; empty: in memory.
func (g *Group) dir() string {
	if g.node.cfg.Data == "" {
		return ""
	}
	return groupDir(g.node.cfg.Data, g.cfg.Name)
}

func (g *Group) openLedger(ctx context.Context) (err error) {
	opts := ledger.Options{
		Memory: g.node.cfg.Data == "", Logger: g.node.log, Group: g.id(), Peer: g.node.id, Fold: actors.Fold,
	}
	opts.Dir = g.dir()
	fillRandom(opts.Salt[:])
	seam.Of(ctx).Ledger(&opts)
	g.ledger, err = openRepaired(opts)
	if err != nil {
		return fmt.Errorf("open the ledger of group %q: %w", g.cfg.Name, g.translate(err))
	}
	if at := g.ledger.Removed(); at != 0 {
		return errors.Join(&RemovedError{Index: at, Dir: opts.Dir}, g.ledger.Close())
	}
	return nil
}

// groupDir is where a node keeps a group's ledger.
func groupDir(data, group string) string {
	return filepath.Join(data, groupsDir, url.PathEscape(group))
}

// looking reports whether this node is about to found the group.
func (g *Group) looking() bool { return g.cfg.Found && g.ledger.LogID().IsZero() }

// found founds the group if that is asked for and the ledger has none yet.
func (g *Group) found(ctx context.Context, founded <-chan codec.LogID) error {
	if !g.looking() {
		return nil
	}
	if len(g.node.dial) > 0 {
		t := time.NewTimer(foundingLook)
		defer t.Stop()
		select {
		case log := <-founded:
			return fmt.Errorf("group %q exists already: a peer has its log %s; join it without founding", g.cfg.Name, log.Short())
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	var nonce [codec.FoundingNonce]byte
	fillRandom(nonce[:])
	if err := actors.Found(g.ledger, g.node.id, g.node.bareAddrs(), g.cfg.Voters, nonce); err != nil {
		return fmt.Errorf("found group %q: %w", g.cfg.Name, err)
	}
	return nil
}

// bareAddrs is the node's addresses without /p2p, at most as many as a
// configuration takes.
func (n *Node) bareAddrs() []string {
	suffix := "/p2p/" + string(n.id)
	var out []string
	for _, a := range n.net.Addrs() {
		if len(a) > len(suffix) && a[len(a)-len(suffix):] == suffix {
			a = a[:len(a)-len(suffix)]
		}
		if len(a) <= codec.MaxAddrBytes && len(out) < codec.MaxAddrs {
			out = append(out, a)
		}
	}
	return out
}

func (g *Group) announcedRole() codec.Role {
	v := g.actors.View()
	if !v.Member {
		return 0
	}
	return v.Role
}

// bonded and refusedBy keep why peers are not bonded, for Status.
func (g *Group) bonded(peer codec.PeerID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.refused, peer)
}

// maxRefused bounds how many peers' reasons are kept.
const maxRefused = 64

func (g *Group) refusedBy(peer codec.PeerID, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.refused) < maxRefused {
		g.refused[peer] = err
	}
}

// rebond tells our log to the peers that were bonded while we knew none.
func (g *Group) rebond() {
	select {
	case <-g.opened:
		g.net.Rebond()
	case <-g.done:
	}
}

// watch closes everything when the actors have stopped by themselves.
func (g *Group) watch() {
	<-g.actors.Done()
	_ = g.close() // Close returns the error again
}

// Close stops the group on this node. Its membership stays; a later Join on
// the same directory goes on where it stopped.
func (g *Group) Close() error {
	g.actors.Close()
	return g.close()
}

func (g *Group) close() error {
	g.closing.Do(func() {
		g.closeErr = errors.Join(g.net.Close(), g.ledger.Close())
		g.node.forget(g.cfg.Name)
		close(g.done)
	})
	<-g.done
	return g.closeErr
}

// Done is closed when the group has stopped on this node.
func (g *Group) Done() <-chan struct{} { return g.done }

// Err is why the group stopped by itself: a *RemovedError, a *DamagedError, a
// failed disk, a panic of the machine, a log that diverges. It is nil while the
// group runs and after Close.
func (g *Group) Err() error {
	err := g.translate(g.actors.Err())
	var removed *RemovedError
	if errors.As(err, &removed) {
		removed.Dir = g.dir()
	}
	return err
}

// SetServeRate changes GroupConfig.ServeRate.
func (g *Group) SetServeRate(bytesPerSec int64) { g.actors.SetServeRate(bytesPerSec) }

// translate turns errors of the actors and the ledger into those of this package.
func (g *Group) translate(err error) error {
	if d := damaged(err); d != nil {
		d.Group = g.cfg.Name
		return d
	}
	return translate(err)
}

func translate(err error) error {
	var (
		removed *actors.RemovedError
		refused *actors.RefusedError
		pending *actors.PendingError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &removed):
		return &RemovedError{Index: removed.Index}
	case errors.As(err, &refused):
		return &RefusedError{Reason: refused.Reason}
	case errors.As(err, &pending) && pending.Maybe:
		return &UnknownOutcomeError{Cause: pending}
	case errors.As(err, &pending):
		return fmt.Errorf("%w: %w", ErrNoLeader, pending.Cause)
	case errors.Is(err, actors.ErrStopped):
		return ErrClosed
	case errors.Is(err, actors.ErrNoLeader):
		return ErrNoLeader
	case errors.Is(err, actors.ErrExpired):
		return ErrSessionExpired
	case errors.Is(err, actors.ErrAnswered):
		return ErrAnswered
	}
	return err
}
