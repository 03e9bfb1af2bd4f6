package sim

import "github.com/logmesh/logmesh/codec"

// serverLease is an open lease: an ordered list of ranges, as in package actors.
type serverLease struct {
	number, seq, place        uint64
	tree                      uint64 // that the peer proves against; 0: nothing
	open, trimmed, leavesOnly bool
	ranges                    []codec.WantRange
	sent, last                uint64
}

func (l *serverLease) trim(place uint64) {
	l.trimmed = true
	left := place - min(place, l.place)
	for i, r := range l.ranges {
		if r.To-r.From >= left {
			l.ranges[i].To = r.From + left
			l.ranges = l.ranges[:i+1]
			if left == 0 {
				l.ranges = l.ranges[:i]
			}
			return
		}
		left -= r.To - r.From
	}
}

// next is the block to send now.
func (l *serverLease) next() (number uint64, proved, ok bool) {
	if len(l.ranges) == 0 {
		return 0, false, false
	}
	return l.ranges[0].From, l.ranges[0].Proved, true
}

// advance moves past number, which was sent.
func (l *serverLease) advance(number uint64) {
	l.sent++
	l.last = number
	l.move(1)
}

// pass moves a lease for leaves only past the present proof group, or past the
// present range if all of it is proved already.
func (l *serverLease) pass(proved bool) {
	from, to := l.ranges[0].From, l.ranges[0].To
	if !proved {
		to = min(to, from-from%codec.ProofGroup+codec.ProofGroup)
	}
	l.move(to - from)
}

func (l *serverLease) move(n uint64) {
	l.place += n
	if l.ranges[0].From += n; l.ranges[0].From == l.ranges[0].To {
		l.ranges = l.ranges[1:]
	}
}

// done is the reason with which a drained lease ends.
func (l *serverLease) done() codec.EndReason {
	if l.trimmed {
		return codec.EndTrimmed
	}
	return codec.EndDone
}
