package catchup

import (
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// segment is a run of blocks in a lease's list.
type segment struct {
	from, to uint64
	place    uint64 // of from, counted from the list's beginning
	seq      uint64 // of the message that asked for it; 0: Fetch
	hedge    bool   // asked of another peer as well, on purpose
}

func (s segment) len() uint64 { return s.to - s.from }

// lease is what is asked of one peer. It is open until End, a reset, or the
// peer's loss, also when it was cancelled.
type lease struct {
	number uint64
	root   codec.SizedRoot // that its unproved blocks are proved against
	leaves []segment       // whose leaves alone it is for
	seq    uint64          // of the last Extend or Trim
	places uint64          // blocks in the list so far
	todo   []segment       // not delivered, in list order
	shed   []segment       // given up by Trim or Cancel; may still come
	owed   uint64          // blocks in todo
	needed uint64          // blocks in todo that are missing
	got    uint64          // blocks that were delivered
	opened time.Duration
	heard  time.Duration // the last delivery, or when its clock was set anew

	trimmed   bool
	cancelled bool
	outrun    bool // cancelled because another was faster while it was silent
}

// open reports whether more may be appended: a drained lease is about to end.
func (l *lease) open() bool {
	return !l.trimmed && !l.cancelled && l.owed > 0 && len(l.todo) < maxSegments
}

const maxSegments = 2 * codec.MaxRanges

// ask appends a run to the list. The caller counts needed.
func (l *lease) ask(r codec.BlockRange, hedge bool) {
	l.todo = append(l.todo, segment{from: r.From, to: r.To, place: l.places, seq: l.seq, hedge: hedge})
	l.places += r.Len()
	l.owed += r.Len()
}

// owes reports whether block n is in the list and not delivered.
func (l *lease) owes(n uint64) bool {
	return slices.ContainsFunc(l.todo, func(s segment) bool { return s.from <= n && n < s.to })
}

// deliver takes block n off the list. It reports false if the list does not
// have it.
func (l *lease) deliver(n uint64) bool {
	rest, ok := cut(l.todo, n)
	if ok {
		l.todo = rest
		l.owed--
		l.got++
	}
	return ok
}

// deliverLate is deliver for a block that was given up.
func (l *lease) deliverLate(n uint64) bool {
	rest, ok := cut(l.shed, n)
	l.shed = rest
	return ok
}

// cut takes block n out of segments, usually their very first.
func cut(segs []segment, n uint64) ([]segment, bool) {
	i := slices.IndexFunc(segs, func(s segment) bool { return s.from <= n && n < s.to })
	if i < 0 {
		return segs, false
	}
	s := segs[i]
	left, right := s, s
	left.to = n
	right.from, right.place = n+1, s.place+(n+1-s.from)
	switch {
	case left.len() > 0 && right.len() > 0:
		segs[i] = left
		return slices.Insert(segs, i+1, right), true
	case left.len() > 0:
		segs[i] = left
	case right.len() > 0:
		segs[i] = right
	case i == 0:
		return segs[1:], true
	default:
		return slices.Delete(segs, i, i+1), true
	}
	return segs, true
}

// tail takes all but the first keep blocks off the list and returns them with
// the place from which on they stood.
func (l *lease) tail(keep uint64) (gone []segment, place uint64) {
	place = l.places
	for i, s := range l.todo {
		if keep >= s.len() {
			keep -= s.len()
			continue
		}
		gone = slices.Clone(l.todo[i:])
		gone[0].from, gone[0].place = s.from+keep, s.place+keep
		place = gone[0].place
		l.todo = l.todo[:i]
		if keep > 0 {
			s.to = s.from + keep
			l.todo = append(l.todo, s)
		}
		break
	}
	for _, s := range gone {
		l.owed -= s.len()
	}
	l.shed = append(l.shed, gone...)
	return gone, place
}
