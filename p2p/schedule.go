package p2p

import "time"

// When the node announces itself: at once when something changes or a peer
// appears, then after these waits, of which the last repeats. One gossip message
// may be lost, and the mesh needs a heartbeat or two to form.
var announceWaits = []time.Duration{
	300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second,
}

// The waits after an event.
const (
	announceSoon = 50 * time.Millisecond // after something changed or a peer came
	announceGap  = time.Second           // between two because peers came
)

// schedule says when the next announcement is due.
type schedule struct {
	timer     *time.Timer
	step      int // in announceWaits
	last, due time.Time
}

// announced plans the next one.
func (s *schedule) announced(now time.Time) {
	s.last, s.due = now, now.Add(announceWaits[s.step])
	s.step = min(s.step+1, len(announceWaits)-1)
	s.timer.Reset(s.due.Sub(now))
}

// changed begins the quick waits anew.
func (s *schedule) changed(now time.Time) {
	s.step = 0
	s.by(now, now.Add(announceSoon))
}

// came tells a new peer soon. In a crowd, where they come all the time, one
// announcement tells many.
func (s *schedule) came(now time.Time) {
	at := now.Add(announceSoon)
	if next := s.last.Add(announceGap); next.After(at) {
		at = next
	} else {
		s.step = 0
	}
	s.by(now, at)
}

// by brings the next announcement forward.
func (s *schedule) by(now, at time.Time) {
	if at.Before(s.due) {
		s.due = at
		s.timer.Reset(at.Sub(now))
	}
}
