package sim

import (
	"math/rand/v2"
	"time"

	"github.com/logmesh/logmesh/codec"
)

const (
	redialMin = 50 * time.Millisecond // from the moment that two members could be connected until they are
	redialMax = 1500 * time.Millisecond
	noticeMin = time.Second // from a cut until both sides give the connection up
	noticeMax = 6 * time.Second
)

// weather is how the network treats what is sent on its own, not on a stream.
type weather struct {
	loss, double       float64
	delayMin, delayMax time.Duration // each message has a delay of its own, so they overtake each other
}

var fair = weather{delayMin: 500 * time.Microsecond, delayMax: 3 * time.Millisecond}

// link is one direction between two members. It has its own dice, so that what
// happens on it depends little on what happens elsewhere.
type link struct {
	dice *rand.Rand
	cuts int // as many actions cut it now; what is sent meanwhile is lost
}

// pair is the bond of two members: an authenticated connection.
type pair struct {
	a, b    *member
	up      bool
	gen     int // counts changes: what was planned for an earlier state does not happen
	planned bool
	quiet   int // as many actions cut it without either side noticing
	streams []*stream
}

// network is all links and bonds.
type network struct {
	w       *World
	weather weather
	links   [][]link
	pairs   [][]*pair
}

func newNetwork(w *World, n int) *network {
	net := &network{w: w, weather: fair, links: make([][]link, n), pairs: make([][]*pair, n)}
	for a := range n {
		net.links[a], net.pairs[a] = make([]link, n), make([]*pair, n)
		for b := range n {
			net.links[a][b].dice = rand.New(rand.NewPCG(w.scenario.Seed, uint64(1000+a*n+b)))
		}
	}
	return net
}

func (n *network) link(from, to *member) *link { return &n.links[from.number][to.number] }

func (n *network) pair(a, b *member) *pair {
	if a.number > b.number {
		a, b = b, a
	}
	p := n.pairs[a.number][b.number]
	if p == nil {
		p = &pair{a: a, b: b}
		n.pairs[a.number][b.number] = p
	}
	return p
}

func (p *pair) other(m *member) *member {
	if m == p.a {
		return p.b
	}
	return p.a
}

func (n *network) cut(from, to *member) bool { return n.link(from, to).cuts > 0 }

// delay draws how long a message takes.
func (n *network) delay(l *link) time.Duration {
	w := &n.weather
	return w.delayMin + time.Duration(l.dice.Int64N(int64(w.delayMax-w.delayMin)+1))
}

// datagram delivers what arrive does at to: once, twice, or never.
func (n *network) datagram(from, to *member, arrive func()) {
	l := n.link(from, to)
	times := 1
	switch {
	case l.cuts > 0 || l.dice.Float64() < n.weather.loss:
		return
	case l.dice.Float64() < n.weather.double:
		times = 2
	}
	life := to.life
	for range times {
		n.w.time.after(n.delay(l), func() { to.deliver(life, arrive) })
	}
}

// wish is whether two members could be connected.
func (p *pair) wish() bool {
	n := p.a.w.net
	apart := n.cut(p.a, p.b) || n.cut(p.b, p.a)
	return p.a.up && p.b.up && (!apart || p.up && p.quiet > 0)
}

// review plans the change of a bond, if it should be another than it is.
func (n *network) review(a, b *member) {
	p := n.pair(a, b)
	if p.planned || p.wish() == p.up {
		return
	}
	p.planned = true
	l := n.link(p.a, p.b)
	d := spread(l.dice, redialMin, redialMax)
	if p.up {
		d = spread(l.dice, noticeMin, noticeMax)
		if !a.up || !b.up {
			d = spread(l.dice, time.Millisecond, 300*time.Millisecond)
		}
	}
	gen := p.gen
	n.w.time.after(d, func() {
		if p.gen != gen {
			return
		}
		p.planned = false
		if p.wish() != p.up {
			p.set(!p.up)
		}
		n.review(a, b)
	})
}

func spread(dice *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(dice.Int64N(int64(most-least)+1))
}

// set changes a bond and tells both sides.
func (p *pair) set(up bool) {
	p.up, p.planned = up, false
	p.gen++
	if !up {
		for _, s := range p.streams {
			s.reset()
		}
		p.streams = nil
	}
	for _, m := range []*member{p.a, p.b} {
		other := p.other(m)
		m.after(0, func() {
			if up {
				m.bonded(other)
			} else {
				m.unbonded(other)
			}
		})
	}
	p.a.w.note('b', uint64(p.a.number), uint64(p.b.number), bit(up))
}

// sever ends the bonds of a member that went down: at once for its streams, a
// little later for the others.
func (n *network) sever(m *member) {
	for _, other := range n.w.members {
		if other == m {
			continue
		}
		p := n.pair(m, other)
		for _, s := range p.streams {
			s.reset()
		}
		p.streams = nil
		p.gen++
		p.planned = false
		n.review(m, other)
	}
}

// welcome looks at the bonds of a member that came up. What others still take
// for a connection is one to its earlier life.
func (n *network) welcome(m *member) {
	for _, other := range n.w.members {
		if other == m {
			continue
		}
		if p := n.pair(m, other); p.up {
			p.set(false)
		}
		n.review(m, other)
	}
}

// block cuts a direction, or takes one cut back. Quiet cuts are not noticed.
func (n *network) block(from, to *member, cut, quiet bool) {
	l, p := n.link(from, to), n.pair(from, to)
	step := -1
	if cut {
		step = 1
	}
	l.cuts += step
	if quiet {
		p.quiet += step
	}
	n.review(from, to)
	if l.cuts == 0 {
		for _, s := range p.streams {
			s.flush(to)
		}
	}
}

// call asks one question and delivers the answer to done, once: an error when
// there is no bond, the connection breaks, or time is up.
func (n *network) call(from, to *member, q codec.Message, timeout time.Duration, done func(codec.Answer, error)) {
	over := false
	end := func(a codec.Answer, err error) {
		if !over {
			over = true
			from.calls--
			done(a, err)
		}
	}
	from.calls++
	if !from.bonds[to.peer] {
		from.after(0, func() { end(codec.Answer{}, errNoBond) })
		return
	}
	from.after(timeout, func() { end(codec.Answer{}, errTimeout) })
	question := n.w.encode(q)
	l := n.link(from, to)
	if l.cuts > 0 {
		return
	}
	life := to.life
	n.w.time.after(n.delay(l), func() {
		to.deliver(life, func() {
			m := newMessage(codec.TypeOf(q))
			n.w.decode(question, m)
			to.raft.called(from.peer, m, func(a codec.Answer) { n.answer(to, from, a, end) })
		})
	})
}

// answer carries an answer back.
func (n *network) answer(from, to *member, a codec.Answer, end func(codec.Answer, error)) {
	l := n.link(from, to)
	if l.cuts > 0 || !to.up {
		return
	}
	data := n.w.encode(&a)
	life := to.life
	n.w.time.after(n.delay(l), func() {
		to.deliver(life, func() {
			var a codec.Answer
			n.w.decode(data, &a)
			end(a, nil)
		})
	})
}
