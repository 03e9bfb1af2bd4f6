package p2p

import (
	"slices"
	"sync"

	"github.com/logmesh/logmesh/codec"
)

// Limits of what waits for a peer's Raft stream.
const (
	queueBytes     = 32 << 20
	queueDroppable = 64 // heartbeats and the like: older ones say nothing new
	batchBytes     = 1 << 20
)

// outgoing is a RaftBatch or Progress that waits. Memory is charged with its
// size and a fixed part.
type outgoing struct {
	from, to  codec.RaftID
	batch     *codec.RaftBatch // nil: progress
	progress  *codec.Progress
	size      int
	droppable bool
}

// itemCost is what one message costs beyond its bytes.
const itemCost = 64

func newOutgoing(from, to codec.RaftID, m codec.Message, droppable bool) (outgoing, bool) {
	o := outgoing{from: from, to: to, droppable: droppable, size: itemCost}
	switch m := m.(type) {
	case *codec.RaftBatch:
		o.batch = m
		for _, b := range m.Messages {
			o.size += len(b) + itemCost
		}
	case *codec.Progress:
		o.progress = m
	default:
		return o, false
	}
	return o, true
}

// raftQueue is bounded in bytes. When it is full the oldest droppable messages
// go first; what still does not fit is refused.
type raftQueue struct {
	wake chan struct{}

	mu        sync.Mutex
	items     []outgoing
	bytes     int
	droppable int
}

func newRaftQueue() *raftQueue { return &raftQueue{wake: make(chan struct{}, 1)} }

// push reports whether o was taken.
func (q *raftQueue) push(o outgoing) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes+o.size > queueBytes || o.droppable && q.droppable >= queueDroppable {
		if !q.dropOldest() {
			return false
		}
	}
	q.items = append(q.items, o)
	q.bytes += o.size
	if o.droppable {
		q.droppable++
	}
	kick(q.wake)
	return true
}

// dropOldest drops the oldest droppable message, if there is one.
func (q *raftQueue) dropOldest() bool {
	if q.droppable == 0 {
		return false
	}
	for i := range q.items {
		if q.items[i].droppable {
			q.forget(&q.items[i])
			q.items = append(q.items[:i], q.items[i+1:]...)
			return true
		}
	}
	return false
}

func (q *raftQueue) forget(o *outgoing) {
	q.bytes -= o.size
	if o.droppable {
		q.droppable--
	}
}

// take removes what goes out as one frame: one Progress, or batches for the
// same pair of ids, joined, up to batchBytes and the greatest number of messages.
func (q *raftQueue) take() (o outgoing, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return outgoing{}, false
	}
	o = q.items[0]
	q.forget(&o)
	n := 1
	if o.batch != nil {
		messages := slices.Clip(o.batch.Messages) // the sender's array is not ours
		for ; n < len(q.items) && q.joins(&o, len(messages), n); n++ {
			next := &q.items[n]
			q.forget(next)
			messages = append(messages, next.batch.Messages...)
			o.size += next.size
		}
		o.batch = &codec.RaftBatch{Messages: messages}
	}
	clear(q.items[:n])
	q.items = q.items[n:]
	return o, true
}

// joins reports whether item i can join o, which has so many messages.
func (q *raftQueue) joins(o *outgoing, messages, i int) bool {
	next := &q.items[i]
	return next.batch != nil && next.from == o.from && next.to == o.to &&
		o.size+next.size <= batchBytes && messages+len(next.batch.Messages) <= codec.MaxRaftBatch
}
