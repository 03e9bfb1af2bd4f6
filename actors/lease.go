package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// maxLeaseRanges bounds the list of one lease.
const maxLeaseRanges = 4096

// lease is the provider's side of an open lease: an ordered list of ranges,
// served from its beginning.
type lease struct {
	number     uint64
	open       bool
	tree       uint64
	leavesOnly bool
	seq        uint64
	ranges     []codec.WantRange // what is left; the first may be begun
	place      uint64            // blocks of the list that were handed over
	trimmed    bool              // the list was cut
	sent, last uint64
}

func newLease(m codec.Fetch) lease {
	return lease{number: m.Lease, open: true, tree: m.Tree, leavesOnly: m.Leaves, ranges: m.Ranges}
}

func (l *lease) is(number uint64) bool { return l.open && l.number == number }

var errSeq = errors.New("a gap in the numbers of Extend and Trim")

func (l *lease) step(seq uint64) error {
	if seq != l.seq+1 {
		return fmt.Errorf("%w: %d follows %d", errSeq, seq, l.seq)
	}
	l.seq = seq
	return nil
}

func (l *lease) extend(m codec.Extend) error {
	if err := l.step(m.Seq); err != nil {
		return err
	}
	if len(l.ranges)+len(m.Ranges) > maxLeaseRanges {
		return fmt.Errorf("a lease of more than %d ranges", maxLeaseRanges)
	}
	l.ranges = append(l.ranges, m.Ranges...)
	return nil
}

// trim cuts the list at a place. It takes effect on what was not yet handed to
// the stream.
func (l *lease) trim(m codec.Trim) error {
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

// next is the block to send now.
func (l *lease) next() (number uint64, proved, ok bool) {
	if len(l.ranges) == 0 {
		return 0, false, false
	}
	return l.ranges[0].From, l.ranges[0].Proved, true
}

// advance moves past number, which was sent.
func (l *lease) advance(number uint64) {
	l.sent++
	l.last = number
	l.move(1)
}

// pass moves a lease for leaves only past the present proof group, or past the
// present range if all of it is proved already.
func (l *lease) pass(proved bool) {
	from, to := l.ranges[0].From, l.ranges[0].To
	if !proved {
		to = min(to, from-from%codec.ProofGroup+codec.ProofGroup)
	}
	l.move(to - from)
}

// move moves n blocks on within the present range.
func (l *lease) move(n uint64) {
	l.place += n
	l.ranges[0].From += n
	if l.ranges[0].From == l.ranges[0].To {
		l.ranges = l.ranges[1:]
	}
}

// done is the reason with which a drained lease ends.
func (l *lease) done() codec.EndReason {
	if l.trimmed {
		return codec.EndTrimmed
	}
	return codec.EndDone
}

// bucket is a token bucket in bytes. It may go into debt by one block, so that
// blocks larger than its burst pass, and the mean rate holds.
type bucket struct {
	perSec int64 // 0: no limit
	tokens float64
	at     time.Time
}

// bucketBurst is how much time's worth of bytes may be saved up.
const bucketBurst = 100 * time.Millisecond

func (b *bucket) setRate(now time.Time, perSec int64) {
	b.perSec, b.tokens, b.at = max(perSec, 0), 0, now
}

// wait refills the bucket and returns how long until it allows the next block.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.perSec == 0 {
		return 0
	}
	b.tokens += now.Sub(b.at).Seconds() * float64(b.perSec)
	b.at = now
	b.tokens = min(b.tokens, float64(b.perSec)*bucketBurst.Seconds())
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens/float64(b.perSec)*float64(time.Second)) + time.Millisecond
}

func (b *bucket) take(n int64) {
	if b.perSec > 0 {
		b.tokens -= float64(n)
	}
}

// rateMeter is a rate over the last seconds, in bytes a second.
type rateMeter struct {
	perSec float64
	bytes  int64
	since  time.Time
}

const rateWindow = 500 * time.Millisecond

func (r *rateMeter) add(now time.Time, n int64) {
	if r.since.IsZero() {
		r.since = now
	}
	r.bytes += n
	if d := now.Sub(r.since); d >= rateWindow {
		r.perSec = (r.perSec + float64(r.bytes)/d.Seconds()) / 2
		r.bytes, r.since = 0, now
	}
}
