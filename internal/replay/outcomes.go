package replay

import (
	"slices"
	"sort"

	"github.com/logmesh/logmesh/codec"
)

// outcome is what a session keeps of a command that was applied.
type outcome struct {
	seq      uint64
	index    codec.Index
	data     []byte
	rejected bool
	hashed   bool // hash is set, and is part of the sessions' digest
	hash     codec.Hash
}

// outcomeCost is what an outcome counts beyond its data, in bytes.
const outcomeCost = 128

func (o *outcome) size() int { return outcomeCost + len(o.data) }

// outcomes are a session's, with rising sequence numbers. Most come in that
// order and go from the front, so both ends are cheap.
type outcomes struct {
	items []outcome
	head  int // items before it are gone
}

func (o *outcomes) live() []outcome { return o.items[o.head:] }

// find is the place of the first outcome whose sequence number is at least seq,
// and whether it is seq.
func (o *outcomes) find(seq uint64) (place int, found bool) {
	live := o.live()
	if n := len(live); n == 0 || live[n-1].seq < seq {
		return n, false
	}
	place = sort.Search(len(live), func(i int) bool { return live[i].seq >= seq })
	return place, live[place].seq == seq
}

// insert puts an outcome at place, which find gave.
func (o *outcomes) insert(place int, new outcome) {
	if len(o.items) == cap(o.items) && o.head > len(o.items)/2 {
		n := copy(o.items, o.live())
		clear(o.items[n:])
		o.items, o.head = o.items[:n], 0
	}
	o.items = slices.Insert(o.items, o.head+place, new)
}

// drop lets go of the first n outcomes.
func (o *outcomes) drop(n int) {
	clear(o.live()[:n])
	o.head += n
	if o.head == len(o.items) {
		o.items, o.head = o.items[:0], 0
	}
}
