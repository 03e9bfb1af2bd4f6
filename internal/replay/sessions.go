package replay

import (
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// Limits of client sessions, part of the meaning of the log.
const (
	// MaxSessions is the greatest number of sessions.
	MaxSessions = 4096
	// Window is how far above its lowest unanswered command a client may go.
	Window = 1024
	// MaxKept is the most that the kept outcomes of all sessions may take at a
	// block's end, in bytes; an outcome counts its data and 128 more.
	MaxKept = 64 << 20
)

type limits struct{ sessions, kept int }

var standard = limits{sessions: MaxSessions, kept: MaxKept}

// session is what the log says of one client.
type session struct {
	id   codec.SessionID
	last codec.Index // of its newest command
	low  uint64      // the highest low so far: below it everything is answered
	outcomes
	kept int // bytes of the outcomes

	older, newer *session // the neighbours by last

	// For the digest.
	hash   codec.Hash // of the session without its outcomes
	hashed bool       // hash is part of the digest
	clean  int        // so many of the live outcomes are surely hashed
	dirty  bool       // it is in table.dirty

	// For the batch: if batch is the Core's, top is the highest sequence number
	// that waits in it.
	batch, top uint64
}

// outcome finds the kept outcome of a command.
func (s *session) outcome(seq uint64) (*outcome, bool) {
	place, found := s.find(seq)
	if !found {
		return nil, false
	}
	return &s.live()[place], true
}

// table is all client sessions.
type table struct {
	limits limits
	byID   map[codec.SessionID]*session
	ring   session // its newer is the least recently used session, its older the most recent
	kept   int     // bytes of the outcomes of all sessions

	sum     machine.MultisetHash // without what is dirty
	dirty   []*session
	scratch []byte
}

func newTable(l limits) *table {
	t := &table{limits: l, byID: make(map[codec.SessionID]*session)}
	t.ring.older, t.ring.newer = &t.ring, &t.ring
	return t
}

// full reports whether the next session evicts one.
func (t *table) full() bool { return len(t.byID) >= t.limits.sessions }

// open makes the session of the entry at index i, and evicts the least recently
// used one if there are too many.
func (t *table) open(i codec.Index) *session {
	if t.full() {
		t.evict(t.ring.newer)
	}
	s := &session{id: codec.SessionID(i), last: i, low: 1}
	t.byID[s.id] = s
	t.link(s)
	t.mark(s)
	return s
}

// touch finds a session and notes that it was used at index i; nil if there is
// none.
func (t *table) touch(id codec.SessionID, i codec.Index) *session {
	s := t.byID[id]
	if s == nil {
		return nil
	}
	s.last = i
	t.unlink(s)
	t.link(s)
	t.mark(s)
	return s
}

// link makes s the most recently used session.
func (t *table) link(s *session) {
	s.older, s.newer = t.ring.older, &t.ring
	s.older.newer, s.newer.older = s, s
}

func (t *table) unlink(s *session) {
	s.older.newer, s.newer.older = s.newer, s.older
	s.older, s.newer = nil, nil
}

func (t *table) evict(s *session) {
	t.drop(s, len(s.live()))
	if s.hashed {
		t.sum.RemoveHash(s.hash)
	}
	t.unlink(s)
	delete(t.byID, s.id)
}

// acknowledge notes that the client has all answers below low.
func (t *table) acknowledge(s *session, low uint64) {
	if low <= s.low {
		return
	}
	s.low = low
	n, _ := s.find(low)
	t.drop(s, n)
}

// drop forgets the first n outcomes of s.
func (t *table) drop(s *session, n int) {
	live := s.live()
	for i := range live[:n] {
		o := &live[i]
		s.kept -= o.size()
		t.kept -= o.size()
		if o.hashed {
			t.sum.RemoveHash(o.hash)
		}
	}
	s.drop(n)
	s.clean = max(0, s.clean-n)
}

// keep keeps the outcome of a command that was applied, unless the client has
// acknowledged it already. s was touched when the command came.
func (t *table) keep(s *session, r Result) {
	if r.Seq < s.low {
		return
	}
	o := outcome{seq: r.Seq, index: r.Index, data: append([]byte(nil), r.Data...), rejected: r.Rejected}
	place, _ := s.find(r.Seq)
	s.insert(place, o)
	s.clean = min(s.clean, place)
	s.kept += o.size()
	t.kept += o.size()
}

// shrink evicts the sessions that keep the most, the older one of equals, until
// the limit is kept.
func (t *table) shrink() {
	for t.kept > t.limits.kept {
		most := t.ring.newer
		for s := most; s != &t.ring; s = s.newer {
			if s.kept > most.kept {
				most = s
			}
		}
		t.evict(most)
	}
}
