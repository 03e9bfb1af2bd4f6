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
	lease   *lease
	numbers uint64 // the last lease's number

	rate    meter
	trips   trips
	trip    time.Duration // the lowest round trip lately; 0: not known
	strikes int
	rest    time.Duration // it rests until then
	retry   time.Duration // if everybody rests, it may be tried from then on
	pace    time.Duration // a spared leader gets no lease before

	blocks, bytes, doubled uint64
	idle                   Reason
}

// measure works the round trip out. The very first sample of the rate holds a
// round trip itself, and cannot be used for that.
func (x *peer) measure() {
	rate := x.rate.rate()
	if x.rate.n < 2 {
		rate = 0
	}
	x.trip = x.trips.lowest(rate)
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

// ready is how long it takes from now to deliver what it owes and bytes more.
func (x *peer) ready(mean, bytes float64) time.Duration {
	return take(x.owed(mean)+bytes, x.speed()) + x.trip
}

// hedgeAfter is the silence at the floor after which another peer is asked.
func (x *peer) hedgeAfter() time.Duration {
	return max(hedgeTime, hedgeTrips*x.trip)
}

// silentAfter is the silence after which its lease is given up: longer for a
// peer whose blocks take longer, and with each failure.
func (x *peer) silentAfter(mean float64) time.Duration {
	d := max(silentTime, silentTrips*x.trip)
	if r := x.rate.rate(); r > 0 {
		d = max(d, take(4*mean, r))
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
