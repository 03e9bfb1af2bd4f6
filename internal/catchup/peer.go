package catchup

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// peer is what is known of one peer. It stays when the peer is lost: lease
// numbers go on when it returns.
type peer struct {
	id      codec.PeerID
	here    bool
	out     error // a block failed its check
	held    []codec.BlockRange
	fit     []codec.BlockRange // of held: what it can be asked for
	head    uint64
	asOf    uint64 // the target when it said so
	lease   *lease
	numbers uint64 // the last lease's number

	rate    meter
	lull    *lull // the session's
	trips   trips
	trip    time.Duration // the lowest round trip lately, as far as it is believed; 0: not known
	strikes int
	rest    time.Duration // it rests until then
	drained int           // leases in a row that ended and told no rate
	outrun  uint64        // the lease in which another was faster while it was cold; 0: none
	retry   time.Duration // if everybody rests, it may be tried from then on
	pace    time.Duration // a spared leader gets no lease before

	blocks, bytes, doubled uint64
	rests, failed          uint64 // strikes and failed proofs of the whole session
	idleFor                since
	idle                   Reason
}

// measure works the round trip out. The very first sample of the rate holds a
// round trip itself, and cannot be used for that.
func (x *peer) measure() {
	rate := x.rate.rate()
	if x.rate.guess() {
		rate = 0
	}
	x.trip = x.trips.lowest(rate)
}

// believe bounds a round trip that hardly anything tells yet by the others': what is
// answered first waits for the handshakes and questions of all of them. Leases that
// turn out to be too short end, and each tells the round trip once more.
func (p *Plan) believe(x *peer) {
	x.measure()
	if x.trips.n >= tripsTell {
		return
	}
	if low := p.lowest(x); low > 0 {
		x.trip = min(x.trip, max(tripFirst, 2*low))
	}
}

// lowest is the lowest round trip of the peers other than x; 0: none is known.
func (p *Plan) lowest(x *peer) (low time.Duration) {
	for _, y := range p.peers {
		if y != x && y.trip > 0 && (low == 0 || y.trip < low) {
			low = y.trip
		}
	}
	return low
}

// serves reports whether it may be given work but for its rest and its lease.
func (x *peer) serves() bool { return x.here && x.out == nil }

// flying reports whether blocks are on their way from it.
func (x *peer) flying() bool { return x.lease != nil && !x.lease.cancelled && x.lease.needed > 0 }

// speed is the rate to reckon with, in bytes/s: a guess for a cold peer.
func (x *peer) speed() float64 {
	if r := x.rate.rate(); r > 0 {
		return r
	}
	return leaseCold / leaseTime.Seconds()
}

// owed is the bytes that it has not delivered, by the mean block size.
func (x *peer) owed(mean float64) float64 {
	if x.lease == nil {
		return 0
	}
	return float64(x.lease.owed) * mean
}

// left is the bytes that are still to come of what it owes, as far as its rate
// tells: a block is only seen when all of it is here.
func (x *peer) left(now time.Duration, mean float64) float64 {
	owed := x.owed(mean)
	if rate := x.rate.rate(); rate > 0 && owed > 0 {
		return max(owed-rate*(now-x.lease.heard).Seconds(), owed-mean)
	}
	return owed
}

// ready is how long it takes from now to deliver what it owes and bytes more.
// What is appended to an open list needs no round trip of its own, unless it
// has almost come to its end.
func (x *peer) ready(now time.Duration, mean, bytes float64) time.Duration {
	queue := take(x.left(now, mean), x.speed())
	return max(queue, x.trip) + take(bytes, x.speed())
}

// hedgeAfter is the silence near the floor after which another peer is asked:
// longer than a block takes, because there is no other sign of life.
func (x *peer) hedgeAfter(mean float64) time.Duration {
	if x.cold() {
		return coldTime
	}
	trips := hedgeTrips * x.trip
	if x.lease != nil && x.lease.got > 0 {
		trips = trips * 5 / 8 // what has begun to flow flows on
	}
	block := take(mean, x.rate.rate())
	return max(hedgeTime, trips, hedgeBlocks*block, block+x.lull.least())
}

// giveUpAfter is the silence at the floor after which a peer is given up if
// nobody else may be asked as well: the shorter the more it has failed.
func (x *peer) giveUpAfter(mean float64) time.Duration {
	switch {
	case x.strikes > 0:
		return x.hedgeAfter(mean)
	case x.cold():
		return silentCold
	}
	return 2 * x.hedgeAfter(mean)
}

// forgiven reports whether a peer is not to blame for its silence: its speed is
// not known yet, and another has been faster in no earlier lease.
func (x *peer) forgiven() bool {
	if !x.cold() || x.outrun != 0 && x.outrun != x.lease.number {
		return false
	}
	x.outrun = x.lease.number
	return true
}

// deep reports whether its line holds several blocks. What is behind a lost packet
// comes late all at once then, and its list would run dry meanwhile.
func (x *peer) deep(mean float64) bool {
	return !x.cold() && deepBlocks*take(mean, x.rate.rate()) <= x.trip
}

// doubt is how much later than reckoned something may come from a peer that has
// yet to show that it serves: until another would have been asked.
func (x *peer) doubt(mean float64) time.Duration {
	if x.cold() || x.strikes > 0 {
		return x.hedgeAfter(mean)
	}
	return 0
}

// cold reports whether nothing has come from a peer that tells how fast it is.
func (x *peer) cold() bool { return x.rate.rate() == 0 }

// silentAfter is the silence after which its lease is given up: longer for a
// peer whose blocks take longer, and with each failure.
func (x *peer) silentAfter(mean float64) time.Duration {
	d := max(silentTime, silentTrips*x.trip)
	if r := x.rate.rate(); r > 0 {
		d = max(d, take(4*mean, r))
	} else {
		d = max(d, silentCold)
	}
	return min(d<<min(x.strikes, 5), silentMax)
}

// dice makes jitter: splitmix64 (Steele, Lea, Flood 2014), from a seed.
type dice struct{ state uint64 }

// spread is d × [1, 1.5).
func (r *dice) spread(d time.Duration) time.Duration {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return d + time.Duration(float64(d)/2*float64(z>>11)/(1<<53))
}
