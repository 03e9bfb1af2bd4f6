package catchup

import (
	"errors"
	"fmt"
	"slices"

	"github.com/logmesh/logmesh/codec"
)

// maxServedRanges bounds the list of one lease.
const maxServedRanges = 4096

// Served is the provider's side of an open lease: an ordered list of ranges,
// served from its beginning.
type Served struct {
	Number     uint64
	Open       bool
	Tree       uint64 // size of the tree to prove against; 0: nothing is proved
	LeavesOnly bool
	Zstd       bool   // blocks are wanted compressed
	Seq        uint64 // of the last Extend or Trim
	Sent, Last uint64 // blocks that were sent, and the last of them

	ranges  []codec.WantRange // what is left; the first may be begun
	place   uint64            // blocks of the list that were handed over
	trimmed bool              // the list was cut
}

// Serve opens the lease that a Fetch asks for.
func Serve(m codec.Fetch) Served {
	return Served{Number: m.Lease, Open: true, Tree: m.Tree, LeavesOnly: m.Leaves, Zstd: m.Zstd, ranges: slices.Clone(m.Ranges)}
}

// Is reports whether the lease is open under that number.
func (l *Served) Is(number uint64) bool { return l.Open && l.Number == number }

// ErrSeq: an Extend or Trim that does not follow the last one.
var ErrSeq = errors.New("a gap in the numbers of Extend and Trim")

func (l *Served) step(seq uint64) error {
	if seq != l.Seq+1 {
		return fmt.Errorf("%w: %d follows %d", ErrSeq, seq, l.Seq)
	}
	l.Seq = seq
	return nil
}

// Extend appends to the list.
func (l *Served) Extend(m codec.Extend) error {
	if err := l.step(m.Seq); err != nil {
		return err
	}
	if len(l.ranges)+len(m.Ranges) > maxServedRanges {
		return fmt.Errorf("a lease of more than %d ranges", maxServedRanges)
	}
	l.ranges = append(l.ranges, m.Ranges...)
	l.Zstd = m.Zstd
	return nil
}

// Trim cuts the list at a place. It takes effect on what was not yet handed to
// the stream.
func (l *Served) Trim(m codec.Trim) error {
	if err := l.step(m.Seq); err != nil {
		return err
	}
	l.trimmed = true
	left := m.Place - min(m.Place, l.place)
	for i, r := range l.ranges {
		if (r.To - r.From) >= left {
			l.ranges[i].To = r.From + left
			l.ranges = l.ranges[:i+1]
			if left == 0 {
				l.ranges = l.ranges[:i]
			}
			return nil
		}
		left -= (r.To - r.From)
	}
	return nil
}

// Next is the block to send now.
func (l *Served) Next() (number uint64, proved, ok bool) {
	if len(l.ranges) == 0 {
		return 0, false, false
	}
	return l.ranges[0].From, l.ranges[0].Proved, true
}

// Advance moves past number, which was sent.
func (l *Served) Advance(number uint64) {
	l.Sent++
	l.Last = number
	l.move(1)
}

// Pass moves a lease for leaves only past the present proof group, or past the
// present range if all of it is proved already.
func (l *Served) Pass(proved bool) {
	from, to := l.ranges[0].From, l.ranges[0].To
	if !proved {
		to = min(to, from-from%codec.ProofGroup+codec.ProofGroup)
	}
	l.move(to - from)
}

// move moves n blocks on within the present range.
func (l *Served) move(n uint64) {
	l.place += n
	l.ranges[0].From += n
	if l.ranges[0].From == l.ranges[0].To {
		l.ranges = l.ranges[1:]
	}
}

// Done is the reason with which a drained lease ends.
func (l *Served) Done() codec.EndReason {
	if l.trimmed {
		return codec.EndTrimmed
	}
	return codec.EndDone
}
