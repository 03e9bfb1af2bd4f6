package actors

import "time"

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
