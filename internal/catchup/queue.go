package catchup

import "github.com/logmesh/logmesh/codec"

// slot is one block on its way.
type slot struct {
	data []byte // nil: missing
	leaf codec.Hash
	owed uint16 // leases that have it in their list and did not deliver it
}

// queue keeps the blocks from the first that was not released on. Blocks below
// floor have arrived.
type queue struct {
	base  uint64 // the first block that was not released
	floor uint64 // the first block that is missing
	ready int64  // bytes in [base, floor)
	slots []slot // of base, base+1, …

	stored   uint64 // the first block that is not stored
	released []int  // sizes of [stored, base)
	held     int64  // bytes in slots and in released
	unstored int64  // bytes in released
	maxHeld  int64
}

// at is the slot of block n, which must not be below base.
func (q *queue) at(n uint64) *slot {
	for uint64(len(q.slots)) <= n-q.base {
		q.slots = append(q.slots, slot{})
	}
	return &q.slots[n-q.base]
}

// missing reports whether block n has not arrived.
func (q *queue) missing(n uint64) bool {
	if n < q.floor {
		return false
	}
	return n-q.base >= uint64(len(q.slots)) || q.slots[n-q.base].data == nil
}

// put fills block n, which was missing.
func (q *queue) put(n uint64, data []byte, leaf codec.Hash) {
	s := q.at(n)
	s.data, s.leaf = data, leaf
	q.held += int64(len(data))
	q.maxHeld = max(q.maxHeld, q.held)
	for q.floor-q.base < uint64(len(q.slots)) && q.slots[q.floor-q.base].data != nil {
		q.ready += int64(len(q.slots[q.floor-q.base].data))
		q.floor++
	}
}

// release takes blocks off the front, as many as are here and fit limit bytes,
// at least one.
func (q *queue) release(limit int64) Release {
	r := Release{First: q.base}
	var size int64
	for q.base < q.floor {
		data := q.slots[0].data
		if len(r.Blocks) > 0 && size+int64(len(data)) > limit {
			break
		}
		r.Blocks = append(r.Blocks, data)
		r.Leaves = append(r.Leaves, q.slots[0].leaf)
		q.released = append(q.released, len(data))
		size += int64(len(data))
		q.slots[0].data = nil
		q.slots = q.slots[1:]
		q.base++
	}
	q.ready -= size
	q.unstored += size
	return r
}

// store gives back the share of the blocks below through, and returns their size.
func (q *queue) store(through uint64) (bytes int64) {
	for q.stored < min(through, q.base) {
		bytes += int64(q.released[0])
		q.released = q.released[1:]
		q.stored++
	}
	q.held -= bytes
	q.unstored -= bytes
	return bytes
}
