package sim

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// frame is one message on a stream, as bytes.
type frame struct {
	kind codec.FrameType
	body []byte
}

// stream is a sync stream: ordered, and lossless until it is reset. What is
// sent into a cut waits for its end.
type stream struct {
	w     *World
	ends  [2]*member // who opened it, and who serves
	on    [2]func(frame)
	ended [2]func()
	last  [2]time.Duration // when what was sent last arrives at an end
	held  [2][]frame       // waits for the end of a cut
	dead  bool
}

// open connects a stream of from's fetcher with to's provider. The error comes
// as an end.
func (n *network) open(from, to *member, on func(frame), ended func()) *stream {
	s := &stream{w: n.w, ends: [2]*member{from, to}}
	s.on[0], s.ended[0] = on, ended
	p := n.pair(from, to)
	if !from.bonds[to.peer] || !p.up || !to.up {
		s.dead = true
		from.after(0, ended)
		return s
	}
	p.streams = append(p.streams, s)
	s.on[1], s.ended[1] = to.provider.accept(from, s)
	return s
}

// send hands a frame to the end that is not m's. It reports when the frame has
// left.
func (s *stream) send(m *member, kind codec.FrameType, body []byte) time.Duration {
	to := 1
	if s.ends[1] == m {
		to = 0
	}
	if s.dead {
		return 0
	}
	l := s.w.net.link(m, s.ends[to])
	leaves := time.Duration(float64(len(body)) / s.w.scenario.LinkRate * float64(time.Second))
	at := max(s.last[to], s.w.time.now+s.w.net.delay(l)) + leaves
	s.last[to] = at
	s.w.time.after(at-s.w.time.now, func() { s.arrive(to, frame{kind, body}) })
	return leaves
}

func (s *stream) arrive(to int, f frame) {
	if s.dead {
		return
	}
	if len(s.held[to]) > 0 || s.w.net.cut(s.ends[1-to], s.ends[to]) {
		s.held[to] = append(s.held[to], f)
		return
	}
	m := s.ends[to]
	m.deliver(m.life, func() {
		if !s.dead {
			s.on[to](f)
		}
	})
}

// flush delivers what waited for the end of a cut towards m.
func (s *stream) flush(m *member) {
	to := 0
	if s.ends[1] == m {
		to = 1
	}
	held := s.held[to]
	s.held[to] = nil
	for _, f := range held {
		s.arrive(to, f)
	}
}

// reset ends the stream; both sides are told if they still run.
func (s *stream) reset() {
	if s.dead {
		return
	}
	s.dead = true
	for i, m := range s.ends {
		m.after(0, s.ended[i])
	}
}

// close ends the stream at one side's wish: only the other is told.
func (s *stream) close(m *member) {
	if s.dead {
		return
	}
	s.dead = true
	for i, end := range s.ends {
		if end != m {
			end.after(0, s.ended[i])
		}
	}
}
