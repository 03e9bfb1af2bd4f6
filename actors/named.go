package actors

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/replay"
)

// name is what a call is known by in the log when its caller chose that: a place
// in a session, or the nonce that opens one.
type name struct {
	session codec.SessionID
	seq     uint64
	nonce   [codec.OpenNonce]byte
}

// named are calls whose callers chose their names. They are proposed like the
// client's own, and known by their names when they come out of the log, also when
// another member proposed them. Several may have one name: the same command asked
// for again. All but some is guarded by client.mu.
type named struct {
	some  *atomic.Bool // there are any
	calls []*Call      // in the order in which they came
	by    map[name][]*Call
}

func newNamed() named { return named{some: new(atomic.Bool), by: map[name][]*Call{}} }

func (n *named) add(call *Call) {
	n.calls = append(n.calls, call)
	n.by[call.key] = append(n.by[call.key], call)
	n.some.Store(true)
}

// remove reports whether call was there.
func (n *named) remove(call *Call) bool {
	was := n.by[call.key]
	left := slices.DeleteFunc(slices.Clone(was), func(other *Call) bool { return other == call })
	if len(left) == len(was) {
		return false
	}
	n.by[call.key] = left
	if len(left) == 0 {
		delete(n.by, call.key)
	}
	n.calls = slices.DeleteFunc(n.calls, func(other *Call) bool { return other == call })
	n.some.Store(len(n.calls) > 0)
	return true
}

func (n *named) clear() {
	n.calls, n.by = nil, map[name][]*Call{}
	n.some.Store(false)
}

func (n *named) gather(b *gathering) {
	for _, call := range n.calls {
		if call.due(b.now) && !b.add(call, call.command) {
			return
		}
	}
}

// deliverNamed takes a result from replay, of any session.
func (c *client) deliverNamed(r replay.Result) {
	if !c.named.some.Load() {
		return
	}
	key := name{session: r.Session, seq: r.Seq}
	if len(r.Nonce) > 0 {
		key = name{nonce: [codec.OpenNonce]byte(r.Nonce)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range slices.Clone(c.named.by[key]) {
		c.named.remove(call)
		call.done <- outcomeOf(r)
	}
}

// Slot is a command's place in a client session.
type Slot struct {
	Session codec.SessionID
	Seq     uint64
	Low     uint64 // below it the client has all answers
}

// startIn queues a command in the place that its caller chose.
func (c *client) startIn(s Slot, command []byte) (*Call, error) {
	if s.Session == 0 || s.Low == 0 || s.Low > s.Seq || s.Seq-s.Low > replay.Window {
		return nil, fmt.Errorf("command %d of session %d with %d the lowest unanswered: numbers begin at 1, and a command is at most %d above the lowest unanswered", s.Seq, s.Session, s.Low, replay.Window)
	}
	data := codec.AppendCommand(nil, codec.Command{Session: s.Session, Seq: s.Seq, Low: s.Low, Payload: command})
	return c.startNamed(name{session: s.Session, seq: s.Seq}, data)
}

// startOpen queues the opening of a session, whose id is the Outcome's index.
func (c *client) startOpen() (*Call, error) {
	nonce := c.random()
	return c.startNamed(name{nonce: nonce}, codec.AppendCommand(nil, codec.Command{Payload: nonce[:]}))
}

func (c *client) startNamed(key name, data []byte) (*Call, error) {
	call := &Call{key: key, command: data, done: make(chan Outcome, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrStopped
	}
	c.named.add(call)
	c.poke()
	return call, nil
}
