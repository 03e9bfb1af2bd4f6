package sim

import (
	"fmt"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine/kv"
)

// opKind is what a user does.
type opKind int

const (
	opPut opKind = iota
	opSwap
	opDelete
	opStrong
	opLocal
	opAfter
)

var opNames = [...]string{"put", "swap", "delete", "strong read", "local read", "read after"}

// op is one operation of a user's script.
type op struct {
	kind     opKind
	key      int
	member   int           // through which it is done, or the next that is up
	think    time.Duration // before it
	patience time.Duration // after which the user does not wait any more
}

// user is one that works through a script, one operation at a time.
type user struct {
	w      *World
	number int
	ops    []op
	next   int
	known  map[int]string // values that it last saw
	latest codec.Index    // the newest index that it was told
}

func keyName(key int) string { return fmt.Sprintf("k%d", key) }

func (u *user) run() {
	if u.next == len(u.ops) || u.w.closing {
		u.next = len(u.ops)
		return
	}
	u.w.time.after(u.ops[u.next].think, u.begin)
}

// begin does the next operation. What a paused member is asked is the first thing
// that it does afterwards, before it hears what happened meanwhile.
func (u *user) begin() {
	if u.w.closing {
		u.next = len(u.ops)
		return
	}
	o := u.ops[u.next]
	m := u.w.serving(o.member)
	if m == nil {
		u.w.time.after(500*time.Millisecond, u.begin)
		return
	}
	u.next++
	over := false
	goOn := func() {
		if !over {
			over = true
			u.run()
		}
	}
	life := m.life
	if o.kind < opStrong {
		u.write(m, o, goOn)
	} else {
		u.read(m, o, goOn)
	}
	u.w.time.after(o.patience, func() { // a read, or a member that is gone: nobody waits
		if m.life != life || o.kind >= opStrong {
			goOn()
		}
	})
}

// write does a put, swap or delete.
func (u *user) write(m *member, o op, done func()) {
	w := u.w
	x := w.history.begin(u.number, o, m.number, w.time.now)
	var c kv.Command
	switch old, known := u.known[o.key]; o.kind {
	case opPut:
		c = kv.Put{Key: keyName(o.key), Value: valueOf(x.id)}
		x.value = string(valueOf(x.id))
	case opDelete:
		c = kv.Delete{Key: keyName(o.key)}
	default:
		c = kv.CAS{Key: keyName(o.key), Old: []byte(old), OldExists: known, New: valueOf(x.id), NewExists: true}
		x.old, x.oldExists, x.value = old, known, string(valueOf(x.id))
	}
	command, err := kv.EncodeCommand(c)
	if err != nil {
		panic(err)
	}
	over := false
	pending := m.client.start(command, func(r outcome) {
		over = true
		u.wrote(x, r)
		done()
	})
	life := m.life
	m.w.time.after(o.patience, func() {
		if !over && m.life == life {
			m.client.abandon(pending)
		}
	})
}

func (u *user) wrote(x *operation, r outcome) {
	x.end = u.w.time.now
	switch {
	case r.never:
		x.never = true
	case r.unknown:
		x.unknown = true
		delete(u.known, x.key)
	case r.rejected:
		u.w.violate("a command was rejected", "%v: %s", x, r.data)
	default:
		x.done, x.index = true, r.index
		u.latest = max(u.latest, r.index)
		ok, err := kv.DecodePutResult(r.data)
		if err != nil {
			u.w.violate("codec", "%v", err)
		}
		x.ok = ok.Existed
		if x.kind == opPut || x.kind == opSwap && x.ok {
			u.known[x.key] = x.value
		} else {
			delete(u.known, x.key)
		}
	}
	u.w.note('w', x.id, uint64(x.index), bit(x.done))
}

// read does a strong read, a local one, or one after an index.
func (u *user) read(m *member, o op, done func()) {
	w := u.w
	x := w.history.begin(u.number, o, m.number, w.time.now)
	get := func(at codec.Index) {
		wait := at
		if w.faults.EarlyRead {
			wait = 0
		}
		m.replay.when(wait, func() { u.got(m, x, at, done) })
	}
	switch o.kind {
	case opLocal:
		get(0)
	case opAfter:
		get(u.latest)
	default:
		m.reads.join(func(i codec.Index, err error) {
			if err != nil {
				x.never = true
				done()
				return
			}
			get(i)
		})
	}
}

func (u *user) got(m *member, x *operation, at codec.Index, done func()) {
	a := m.get(keyName(x.key))
	x.done, x.end, x.index, x.at = true, u.w.time.now, m.replay.core.Applied(), at
	x.ok, x.value = a.Found, string(a.Value)
	u.w.note('r', x.id, uint64(x.index), bit(x.ok))
	if x.kind == opLocal {
		done()
		return
	}
	u.latest = max(u.latest, x.index)
	if delete(u.known, x.key); a.Found {
		u.known[x.key] = x.value
	}
	done()
}

// get is what the member's machine has for a key now.
func (m *member) get(key string) kv.GetAnswer {
	q, err := kv.EncodeQuery(kv.Get{Key: key})
	if err != nil {
		panic(err) // the keys are ours
	}
	data, err := m.replay.core.Query(nil, q)
	if err != nil {
		m.fail(err)
		return kv.GetAnswer{}
	}
	a, err := kv.DecodeGetAnswer(data)
	if err != nil {
		m.w.violate("codec", "%v", err)
	}
	return a
}
