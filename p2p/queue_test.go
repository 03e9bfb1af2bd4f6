package p2p

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

func batch(t *testing.T, from codec.RaftID, size int, droppable bool, mark byte) outgoing {
	t.Helper()
	data := make([]byte, size)
	data[0] = mark
	o, ok := newOutgoing(from, 2, &codec.RaftBatch{Messages: [][]byte{data}}, droppable)
	require.True(t, ok)
	return o
}

func marks(q *raftQueue) (out []byte) {
	for {
		o, ok := q.take()
		if !ok {
			return out
		}
		for _, m := range o.batch.Messages {
			out = append(out, m[0])
		}
	}
}

// A full queue drops the oldest droppable message first, and refuses what still
// does not fit.
func TestQueueDropsOldestDroppable(t *testing.T) {
	q := newRaftQueue()
	quarter := queueBytes/4 - 1000
	require.True(t, q.push(batch(t, 1, quarter, false, 1)))
	require.True(t, q.push(batch(t, 1, quarter, true, 2)))
	require.True(t, q.push(batch(t, 1, quarter, true, 3)))
	require.True(t, q.push(batch(t, 1, quarter, false, 4)))
	require.True(t, q.push(batch(t, 1, quarter, false, 5)), "2 makes room")
	require.True(t, q.push(batch(t, 1, quarter, true, 6)), "3 makes room")
	require.True(t, q.push(batch(t, 1, quarter, false, 7)), "6 makes room")
	require.False(t, q.push(batch(t, 1, quarter, false, 8)), "nothing to drop")
	require.False(t, q.push(batch(t, 1, quarter, true, 9)))
	require.Equal(t, []byte{1, 4, 5, 7}, marks(q))
	require.Zero(t, q.bytes)
	require.Zero(t, q.droppable)
}

func TestQueueBoundsDroppables(t *testing.T) {
	q := newRaftQueue()
	require.True(t, q.push(batch(t, 1, 1, false, 200)))
	for i := range 2 * queueDroppable {
		require.True(t, q.push(batch(t, 1, 1, true, byte(i))))
	}
	got := marks(q)
	require.Len(t, got, 1+queueDroppable)
	require.Equal(t, byte(200), got[0])
	require.Equal(t, byte(queueDroppable), got[1], "the newest stay")
}

// Batches for one pair of ids travel together, within the limits of a frame.
func TestQueueJoins(t *testing.T) {
	q := newRaftQueue()
	for i := range 3 {
		require.True(t, q.push(batch(t, 1, 10, false, byte(i))))
	}
	require.True(t, q.push(batch(t, 9, 10, false, 3)))
	progress, ok := newOutgoing(9, 2, &codec.Progress{}, true)
	require.True(t, ok)
	require.True(t, q.push(progress))
	require.True(t, q.push(batch(t, 9, batchBytes, false, 4)))
	require.True(t, q.push(batch(t, 9, batchBytes, false, 5)))

	var sizes []int
	for {
		o, ok := q.take()
		if !ok {
			break
		}
		if o.batch == nil {
			sizes = append(sizes, 0)
			continue
		}
		sizes = append(sizes, len(o.batch.Messages))
	}
	require.Equal(t, []int{3, 1, 0, 1, 1}, sizes)
}

// Joining never writes into a sender's slice.
func TestQueueLeavesMessagesAlone(t *testing.T) {
	q := newRaftQueue()
	shared := make([][]byte, 1, 4)
	shared[0] = []byte{1}
	o, _ := newOutgoing(1, 2, &codec.RaftBatch{Messages: shared}, false)
	require.True(t, q.push(o))
	require.True(t, q.push(batch(t, 1, 1, false, 2)))
	joined, ok := q.take()
	require.True(t, ok)
	require.Len(t, joined.batch.Messages, 2)
	require.Nil(t, shared[:2][1])
}
