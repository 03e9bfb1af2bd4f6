package actors

import "time"

// When a peer is asked for compressed blocks.
const (
	packPhase  = 2 * time.Second // of delivery, that is one measurement
	packSettle = time.Second     // of delivery before one: what was asked for before still comes
	packBelow  = 32 << 20        // bytes a second; a link as fast as this is left alone
	packRatio  = 0.85            // compressed to plain size of a block, above which nothing is tried
	packGain   = 1.15            // how much more must arrive
	packAgain  = time.Minute     // until the way that lost is tried again
)

// packing decides whether a peer is to compress the blocks that it sends. It asks
// for both ways in turn and keeps the one by which more arrived, so whatever bounds
// the transfer (the link, a processor at either end, our disk) is in the
// measurement. Only time in which something is owed counts.
type packing struct {
	on bool // as the next Fetch or Extend asks

	since   time.Time // when a delivery, or a wait for one, began; zero: nothing is owed
	settled bool
	time    time.Duration
	bytes   int64

	other float64   // what arrived the other way, in bytes a second; 0: not tried
	again time.Time // when the other way is tried
}

// waits tells that something is owed from now on.
func (p *packing) waits(now time.Time) {
	if p.since.IsZero() {
		p.since = now
	}
}

// idles tells that nothing is owed any more.
func (p *packing) idles() { p.since = time.Time{} }

// arrived counts a block of so many bytes, before compression; ratio is asked what
// compression would make of it.
func (p *packing) arrived(now time.Time, size int, ratio func() float64) {
	if p.since.IsZero() {
		return
	}
	p.time += now.Sub(p.since)
	p.bytes += int64(size)
	p.since = now
	switch {
	case !p.settled && p.time >= packSettle:
		p.settled = true
		p.clear()
	case p.settled && p.time >= packPhase:
		p.decide(now, float64(p.bytes)/p.time.Seconds(), ratio)
		p.clear()
	}
}

func (p *packing) clear() { p.time, p.bytes = 0, 0 }

// decide judges a measurement of rate bytes a second.
func (p *packing) decide(now time.Time, rate float64, ratio func() float64) {
	switch {
	case p.other > 0 && p.worse(rate):
		p.turn(0)
		p.again = now.Add(packAgain)
	case p.other > 0: // it stays
		p.other = 0
		p.again = now.Add(packAgain)
	case now.Before(p.again):
	case p.on || rate < packBelow && ratio() < packRatio:
		p.turn(rate)
	}
}

// worse reports whether rate, by the way that is being tried, is worse than the
// other was: compression must gain something.
func (p *packing) worse(rate float64) bool {
	if p.on {
		return rate < packGain*p.other
	}
	return packGain*rate < p.other
}

// turn changes the way; rate is what arrived by the one before, if the change is a
// trial.
func (p *packing) turn(rate float64) {
	p.on, p.other, p.settled = !p.on, rate, false
}
