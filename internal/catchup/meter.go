package catchup

import (
	"slices"
	"time"
)

// meter measures a rate while something is going on: the highest of the last
// samples, so that pauses of ours do not count against a peer. A sample begins
// with an arrival: the round trip before a lease's first block says nothing of
// the rate, and leases that are too small would make themselves smaller still.
type meter struct {
	on      bool
	first   bool // nothing has come since start
	told    bool // a sample was taken since start
	since   time.Duration
	bytes   int64
	samples [6]float64 // bytes/s, a ring
	n       int
	best    float64 // the greatest of them
}

// sampleTime is how long a sample takes at least; the very first is a guess by
// what came first.
const sampleTime = 150 * time.Millisecond

func (m *meter) start(now time.Duration) {
	m.on, m.first, m.told, m.since, m.bytes = true, true, false, now, 0
}

func (m *meter) add(now time.Duration, bytes int) {
	m.bytes += int64(bytes)
	switch {
	case !m.on:
	case m.first && m.n > 0:
		m.first, m.since, m.bytes = false, now, 0
	case m.first || now-m.since >= sampleTime:
		m.first = false
		m.sample(now)
	}
}

// stop ends the measuring; what was begun counts if it is long enough to mean
// something.
func (m *meter) stop(now time.Duration) {
	if m.on && !m.first && m.bytes > 0 && now-m.since >= sampleTime/30 {
		m.sample(now)
	}
	m.on = false
}

func (m *meter) sample(now time.Duration) {
	if now <= m.since {
		return
	}
	m.samples[m.n%len(m.samples)] = float64(m.bytes) / (now - m.since).Seconds()
	m.n++
	m.told = true
	m.best = slices.Max(m.samples[:])
	m.since, m.bytes = now, 0
}

// guess reports whether the rate is one by the first arrival alone.
func (m *meter) guess() bool { return m.n < 2 }

// rate is in bytes/s; 0: not known.
func (m *meter) rate() float64 { return m.best }

// recent is the average of the last samples, in bytes/s, falling while nothing
// comes.
func (m *meter) recent(now time.Duration) float64 {
	n := min(m.n, len(m.samples))
	if n == 0 {
		return 0
	}
	sum := 0.0
	for _, s := range m.samples[:n] {
		sum += s
	}
	if quiet := now - m.since; quiet > time.Second {
		return float64(m.bytes) / quiet.Seconds()
	}
	return sum / float64(n)
}

// trips keeps the last first answers to leases, for the round trip.
type trips struct {
	took   [8]time.Duration // from Fetch to the first answer, a ring; 0: none
	size   [8]float64       // of that answer, in bytes
	n      int
	leaves bool // the ring holds leaves alone, which are small and tell it well
}

// answered notes that an answer of size bytes took d. A block is not noted any
// more once leaves were: how much of d was its own time is a guess.
func (t *trips) answered(d time.Duration, size int, leaves bool) {
	if t.leaves && !leaves {
		return
	}
	if leaves && !t.leaves {
		*t = trips{leaves: true}
	}
	t.add(d, size)
}

func (t *trips) add(d time.Duration, size int) {
	t.took[t.n%len(t.took)], t.size[t.n%len(t.size)] = max(d, 1), float64(size)
	t.n++
}

// lowest is the round trip without the block's own time at rate (bytes/s; 0: not
// known). It is at most a second: a peer that hung once is not forgiven for long.
func (t *trips) lowest(rate float64) time.Duration {
	low := time.Duration(0)
	for i, d := range t.took {
		if d > 0 && rate > 0 {
			d = max(d-take(t.size[i], rate), d/4)
		}
		if d > 0 && (low == 0 || d < low) {
			low = d
		}
	}
	return min(low, time.Second)
}

// take is how long bytes take at rate (bytes/s).
func take(bytes, rate float64) time.Duration {
	if rate <= 0 {
		return time.Hour
	}
	return time.Duration(min(bytes/rate, 3600) * float64(time.Second))
}
