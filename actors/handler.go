package actors

import (
	"context"
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
)

// The methods below are what the network calls.

// Bonded: a peer proved the group key. A node that knows no log yet takes over
// what a bonded peer of its own list states.
func (g *Group) Bonded(peer codec.PeerID, log codec.LogID, bootstrap bool) {
	g.mu.Lock()
	if bootstrap {
		g.boot[peer] = true // bounded by the node's own list
	}
	g.mu.Unlock()
	if bootstrap && !log.IsZero() && g.cfg.Ledger.LogID().IsZero() {
		if err := g.cfg.Ledger.SetLogID(log); err != nil {
			g.fail(err)
			return
		}
		g.log.Info("joining a log", "log", log.Short(), "named_by", peer)
	}
	g.log.Debug("bonded", "peer", peer)
	g.send(func() *actor.PID { return g.consensus }, bondUp{peer})
	g.send(func() *actor.PID { return g.coordinator }, bondUp{peer})
}

// Unbonded: the last connection to a bonded peer is gone.
func (g *Group) Unbonded(peer codec.PeerID) {
	g.log.Debug("bond lost", "peer", peer)
	g.send(func() *actor.PID { return g.consensus }, bondDown{peer})
	g.send(func() *actor.PID { return g.coordinator }, bondDown{peer})
}

// Refused: no bond with a peer, and why.
func (g *Group) Refused(peer codec.PeerID, err error) {
	g.log.Warn("no bond with a peer", "peer", peer, "err", err)
}

// AvailabilityAsked: somebody asked by gossip who has blocks.
func (g *Group) AvailabilityAsked(req codec.AvailabilityRequest) {
	if req.Requester == g.cfg.Self || g.ctx.Err() != nil || !g.started.Load() {
		return
	}
	if log := g.cfg.Ledger.LogID(); !req.Log.IsZero() && req.Log != log {
		return
	}
	select {
	case g.calls <- struct{}{}:
	default:
		return // nobody depends on one answer
	}
	go func() {
		defer func() { <-g.calls }()
		ctx, cancel := context.WithTimeout(g.ctx, openTimeout)
		defer cancel()
		if err := g.network.Reply(ctx, req.Requester, g.offer(req)); err != nil {
			g.log.Debug("offer was not delivered", "peer", req.Requester, "err", err)
		}
	}()
}

// AvailabilityReplied: a peer answered our gossip.
func (g *Group) AvailabilityReplied(from codec.PeerID, m codec.AvailabilityReply) {
	if m.Nonce == 0 {
		return // only the answer to a stream's opening has none
	}
	select {
	case g.offers <- struct{}{}:
	default:
		return // nobody depends on one offer
	}
	release := func() { <-g.offers }
	if !g.send(func() *actor.PID { return g.coordinator }, offered{peer: from, reply: m, done: release}) {
		release()
	}
}

// ServeSync serves a peer's sync stream. It returns when the session is over.
func (g *Group) ServeSync(from codec.PeerID, s Stream) {
	id := g.sessions.Add(1)
	w := &watchedStream{Stream: s, gone: make(chan struct{})}
	if !g.send(func() *actor.PID { return g.provider }, sessionOpened{id: id, peer: from, stream: w}) {
		_ = s.Reset()
		return
	}
	select {
	case <-w.gone:
	case <-g.done:
		_ = s.Reset()
	}
}

// RaftReceived takes a frame of a peer's Raft stream.
func (g *Group) RaftReceived(from codec.PeerID, open codec.RaftOpen, m codec.Message) []codec.Message {
	if g.ctx.Err() != nil {
		return nil
	}
	if mine := g.cfg.Ledger.RaftID(); open.To != mine {
		return []codec.Message{&codec.NotMe{Asked: open.To, Mine: mine}}
	}
	if v := g.view(); v != nil {
		if at, gone := removedFrom(v.config, open.From, m); gone {
			return []codec.Message{&codec.RemovedAt{Index: at}}
		}
		if sender, ok := v.config.Member(open.From); ok && sender.Peer != from {
			return nil // it says to be another member
		}
	}
	switch m := m.(type) {
	case *codec.RaftBatch:
		g.withCredit(func(done func()) any { return raftIn{from, open.From, m.Messages, done} })
	case *codec.Progress:
		g.withCredit(func(done func()) any { return progressIn{open.From, *m, done} })
	}
	return nil
}

// withCredit hands what came on a Raft stream to consensus, at most maxRaft
// messages at a time: the stream's reader waits.
func (g *Group) withCredit(message func(done func()) any) {
	select {
	case g.raftCredit <- struct{}{}:
	case <-g.ctx.Done():
		return
	}
	release := func() { <-g.raftCredit }
	if !g.send(func() *actor.PID { return g.consensus }, message(release)) {
		release()
	}
}

// RaftAnswered takes what a peer wrote on the other half of our Raft stream.
func (g *Group) RaftAnswered(from codec.PeerID, m codec.Message) {
	switch m := m.(type) {
	case *codec.RemovedAt:
		g.send(func() *actor.PID { return g.consensus }, removedIn{from, m.Index})
	case *codec.NotMe:
		g.log.Debug("a member has another raft id now", "peer", from, "asked", m.Asked, "has", m.Mine)
	}
}

var errCalls = errors.New("too many calls at once")

// Called answers a question of a peer, or our own.
func (g *Group) Called(ctx context.Context, from codec.PeerID, m codec.Message) codec.Answer {
	select {
	case g.calls <- struct{}{}:
		defer func() { <-g.calls }()
	default:
		return codec.Answer{Status: codec.CallUnavailable, Reason: errCalls.Error()}
	}
	reply := make(chan codec.Answer, 1)
	if !g.send(func() *actor.PID { return g.consensus }, asked{peer: from, m: m, reply: reply}) {
		return codec.Answer{Status: codec.CallUnavailable, Reason: ErrStopped.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case a := <-reply:
		return a
	case <-ctx.Done():
		return codec.Answer{Status: codec.CallUnavailable, Reason: "no answer from consensus in time"}
	case <-g.done:
		return codec.Answer{Status: codec.CallUnavailable, Reason: ErrStopped.Error()}
	}
}

// isTrusted reports whether a peer is one that this node was told to join.
func (g *Group) isTrusted(p codec.PeerID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.boot[p]
}

// isMember reports whether a peer is in the configuration.
func (g *Group) isMember(p codec.PeerID) bool {
	v := g.view()
	if v == nil {
		return false
	}
	_, ok := v.config.ByPeer(p)
	return ok
}

func (g *Group) view() *consensusView {
	if !g.started.Load() {
		return nil
	}
	return g.raft.view.Load()
}

// offer is what this node has now.
func (g *Group) offer(req codec.AvailabilityRequest) codec.AvailabilityReply {
	l := g.cfg.Ledger
	head := l.Head()
	r := codec.AvailabilityReply{Nonce: req.Nonce, Head: head, Horizon: l.FirstIndex()}
	r.Held = l.Held()
	r.Held = r.Held[:min(len(r.Held), codec.MaxHeld)]
	rounded := head.Blocks - head.Blocks%codec.ProofGroup
	r.Rounded = g.sizedRoot(rounded)
	for _, n := range req.Sizes {
		if n <= head.Blocks {
			r.Roots = append(r.Roots, g.sizedRoot(n))
		}
	}
	if v := g.view(); v != nil && v.open {
		r.Voter, r.Leader = v.role == codec.RoleVoter, v.lead
		r.Committed = codec.Cursor{Index: v.status.Commit}
		if term, err := l.Term(v.status.Commit); err == nil {
			r.Committed.Term = term
		}
	}
	if v := g.replayer.view.Load(); v != nil {
		r.Digest = v.block
	}
	return r
}

func (g *Group) sizedRoot(n uint64) codec.SizedRoot {
	root, err := g.cfg.Ledger.RootAt(n)
	if err != nil {
		return codec.SizedRoot{}
	}
	return codec.SizedRoot{Blocks: n, Root: root}
}

// watchedStream tells when a stream was ended here.
type watchedStream struct {
	Stream
	gone chan struct{}
	once onceFlag
}

// Reset ends the stream.
func (w *watchedStream) Reset() error {
	if w.once.first() {
		close(w.gone)
	}
	return w.Stream.Reset()
}
