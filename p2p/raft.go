package p2p

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/logmesh/logmesh/codec"
)

// SendRaft queues a *codec.RaftBatch or *codec.Progress for a bonded peer, on
// the stream that is opened as (from, id). It never blocks; false means that it
// was dropped: no bond, or the queue is full. Droppable messages make room for
// newer ones. m must not change afterwards. Delivery is not certain: the stream
// may end with the message in it.
func (g *Group) SendRaft(to codec.PeerID, from, id codec.RaftID, m codec.Message, droppable bool) bool {
	o, ok := newOutgoing(from, id, m, droppable)
	if !ok {
		return false
	}
	p, err := decodePeer(to)
	if err != nil {
		return false
	}
	g.mu.Lock()
	l := g.links[p]
	if g.closed || l == nil || l.bond == nil {
		g.mu.Unlock()
		return false
	}
	if l.raft == nil {
		l.raft = &sender{group: g, peer: p, name: l.name, bond: l.bond, queue: newRaftQueue()}
		g.wg.Go(l.raft.run)
	}
	q := l.raft.queue
	g.mu.Unlock()
	return q.push(o)
}

// sender writes the Raft stream to one peer for as long as the bond stands. It
// opens the stream again when it ended or the raft ids changed.
type sender struct {
	// set once
	group *Group
	peer  peer.ID
	name  codec.PeerID
	bond  *bond
	queue *raftQueue

	// owned by run
	out      *stream
	release  func()
	from, to codec.RaftID
	ended    chan struct{} // closed when the other half of out ended
	waits    backoff
	frame    []byte
}

func (s *sender) run() {
	s.waits = dialBackoff()
	defer s.close()
	for {
		o, ok := s.queue.take()
		if !ok {
			select {
			case <-s.queue.wake:
				continue
			case <-s.bond.ctx.Done():
				return
			}
		}
		if err := s.write(o); err != nil {
			s.group.net.log.Debug("raft stream failed", "peer", s.name, "err", err)
			s.close()
			if !s.rest() {
				return
			}
		}
	}
}

// rest waits before the stream is opened again.
func (s *sender) rest() bool {
	select {
	case <-time.After(s.waits.wait()):
		return true
	case <-s.bond.ctx.Done():
		return false
	}
}

func (s *sender) write(o outgoing) error {
	if err := s.open(o.from, o.to); err != nil {
		return err
	}
	var m codec.Message = o.batch
	if o.batch == nil {
		m = o.progress
	}
	frame, err := codec.AppendFrame(s.frame[:0], m)
	if err != nil {
		return err
	}
	if s.frame = frame; cap(frame) > 2*batchBytes {
		s.frame = nil // a rare large one is not kept
	}
	if err := s.out.sendBytes(frame); err != nil {
		return explain(err)
	}
	s.waits.reset()
	return nil
}

// open makes sure that there is a stream for the pair of ids.
func (s *sender) open(from, to codec.RaftID) error {
	if s.out != nil && s.from == from && s.to == to {
		select {
		case <-s.ended:
		default:
			return nil
		}
	}
	s.close()
	raw, err := s.group.openOn(s.bond.ctx, s.peer, protoRaft)
	if err != nil {
		return err
	}
	out, release := newStream(raw, s.group, s.bond)
	open := codec.RaftOpen{Group: s.group.id, Log: s.group.cfg.Log(), Nonce: rand.Uint64(), From: from, To: to}
	if err := out.send(&open); err != nil {
		release()
		_ = raw.ResetWithError(codeProtocol)
		return explain(err)
	}
	s.out, s.release, s.from, s.to = out, release, from, to
	s.ended = make(chan struct{})
	ended := s.ended
	s.group.wg.Go(func() { s.listen(out, ended) })
	return nil
}

// close ends the stream; what was written still arrives.
func (s *sender) close() {
	if s.out == nil {
		return
	}
	s.release()
	_ = s.out.Close()
	<-s.ended
	s.out = nil
}

// listen reads the other half of the stream until it ends.
func (s *sender) listen(out *stream, ended chan struct{}) {
	defer close(ended)
	for {
		t, body, err := out.next(nil, codec.TypeNotMe, codec.TypeRemovedAt, codec.TypeProgress)
		if err != nil {
			_ = out.ResetWithError(codeProtocol)
			return
		}
		m, err := decodeAnswer(t, body)
		if err != nil {
			_ = out.ResetWithError(codeProtocol)
			return
		}
		s.group.cfg.Handler.RaftAnswered(s.name, m)
	}
}

func decodeAnswer(t codec.FrameType, body []byte) (codec.Message, error) {
	var m codec.Message
	switch t {
	case codec.TypeNotMe:
		m = &codec.NotMe{}
	case codec.TypeRemovedAt:
		m = &codec.RemovedAt{}
	default:
		m = &codec.Progress{}
	}
	return m, codec.Decode(body, m)
}

// serveRaft reads a peer's Raft stream. A second one replaces the first.
func (n *Net) serveRaft(s network.Stream) {
	var open codec.RaftOpen
	st, release, ok := admit(n, s, &open, raftOpenNames)
	if !ok {
		return
	}
	defer release()
	defer st.group.alone(st)()
	err := st.group.hearRaft(st, open)
	n.log.Debug("raft stream ended", "peer", s.Conn().RemotePeer(), "err", err)
	_ = s.ResetWithError(codeProtocol)
}

func (g *Group) hearRaft(st *stream, open codec.RaftOpen) error {
	from := codec.PeerID(st.Conn().RemotePeer().String())
	if err := g.answerRaft(st, from, open, &open); err != nil {
		return err
	}
	var buf []byte
	for {
		t, body, err := st.next(buf, codec.TypeRaftBatch, codec.TypeProgress)
		if err != nil {
			return err
		}
		var m codec.Message = &codec.RaftBatch{}
		if t == codec.TypeProgress {
			m = &codec.Progress{}
		}
		if err := codec.Decode(body, m); err != nil {
			return err
		}
		if buf = body; cap(buf) > 2*batchBytes {
			buf = nil
		}
		if err := g.answerRaft(st, from, open, m); err != nil {
			return err
		}
	}
}

func (g *Group) answerRaft(st *stream, from codec.PeerID, open codec.RaftOpen, m codec.Message) error {
	for _, answer := range g.cfg.Handler.RaftReceived(from, open, m) {
		if err := st.send(answer); err != nil {
			return errors.Join(fmt.Errorf("answer %v", codec.TypeOf(answer)), err)
		}
	}
	return nil
}
