package ledger

import (
	"fmt"
	"slices"
	"sync"

	"github.com/logmesh/logmesh/codec"
)

// Entries are entries [lo, hi) of the raft view for Raft: as many as fit in
// maxBytes of data, but at least one. The error is codec.ErrCompacted below
// FirstIndex and codec.ErrUnavailable above LastIndex.
func (l *Ledger) Entries(lo, hi codec.Index, maxBytes uint64) ([]codec.Entry, error) {
	l.mu.RLock()
	v := &l.raft
	first, sealed, last := v.prev.Index+1, v.sealed.Index, v.last()
	var tail []codec.Entry
	if hi-1 <= last && hi-1 > sealed && lo < hi {
		tail = v.inTail(max(lo, sealed+1), hi-1)
	}
	l.mu.RUnlock()
	switch {
	case lo < first:
		return nil, codec.ErrCompacted
	case hi > last+1:
		return nil, codec.ErrUnavailable
	case lo >= hi:
		return nil, nil
	case lo > sealed:
		return upTo(tail, &maxBytes, true), nil
	}
	out, full, err := l.sealedEntries(lo, min(hi-1, sealed), &maxBytes)
	if err != nil || full {
		return out, err
	}
	return slices.Concat(out, upTo(tail, &maxBytes, false)), nil
}

// Read is for replay: entries [from, to], from blocks as far as there are
// blocks, else from the tail; as many as fit in maxBytes of data, but at least
// one. Nothing is read that is not decided: to must be at most the greater of the
// commit index and the end of the blocks, and while there are holes at most
// Whole, else the error is codec.ErrUnavailable.
func (l *Ledger) Read(from, to codec.Index, maxBytes int) ([]codec.Entry, error) {
	if from == 0 || from > to {
		return nil, fmt.Errorf("ledger: read entries %d to %d", from, to)
	}
	budget := uint64(max(maxBytes, 0))
	l.mu.RLock()
	v, synced := &l.raft, l.synced.last.Index
	decided := max(v.hard.Commit, synced)
	if l.gaps.open {
		decided, synced = l.gaps.whole, l.gaps.whole
	}
	var tail []codec.Entry
	if to <= decided && to > synced {
		tail = v.inTail(max(from, synced+1), to)
	}
	l.mu.RUnlock()
	switch {
	case to > decided:
		return nil, codec.ErrUnavailable
	case from > synced:
		return upTo(tail, &budget, true), nil
	}
	out, full, err := l.sealedEntries(from, min(to, synced), &budget)
	if err != nil || full || len(tail) == 0 {
		return out, err
	}
	return slices.Concat(out, upTo(tail, &budget, false)), nil
}

// upTo is the front of entries that fits in budget, which it lowers; one entry
// always fits if least is set.
func upTo(entries []codec.Entry, budget *uint64, least bool) []codec.Entry {
	n := 0
	for n < len(entries) && (uint64(len(entries[n].Data)) <= *budget || least && n == 0) {
		*budget -= min(*budget, uint64(len(entries[n].Data)))
		n++
	}
	return entries[:n:n]
}

// sealedEntries are entries [from, to], all in blocks, as far as budget goes;
// full reports that it went no further than that. What lies in one block is a
// view of its decoded entries.
func (l *Ledger) sealedEntries(from, to codec.Index, budget *uint64) (out []codec.Entry, full bool, err error) {
	if err := l.enter(); err != nil {
		return nil, false, err
	}
	defer l.leave()
	defer func() { l.note(err) }()
	d, err := l.blockWith(from)
	for {
		if err != nil {
			return nil, false, err
		}
		first, last := d.entries[0].Index, d.entries[len(d.entries)-1].Index
		part := d.entries[max(from, first)-first : min(to, last)-first+1]
		before := *budget
		fits := upTo(part, budget, out == nil)
		switch len(out) {
		case 0:
			out = fits
		case cap(out): // a view of one block, which must not grow in place
			more := int(*budget/max(before-*budget, 1)) * len(fits)
			out = append(slices.Grow(out, min(int(to-out[len(out)-1].Index), len(fits)+more, maxGrow)), fits...)
		default:
			out = append(out, fits...)
		}
		if len(fits) < len(part) || last >= to {
			return out, len(fits) < len(part), nil
		}
		d, err = l.decoded(d.number + 1)
	}
}

// maxGrow bounds the room, in entries, that is made ahead for a read over several
// blocks.
const maxGrow = 1 << 14

// blockWith is the decoded block that holds entry i.
func (l *Ledger) blockWith(i codec.Index) (decoded, error) {
	if d, ok := l.cache.find(func(d decoded) bool { return d.holds(i) }); ok {
		return d, nil
	}
	number, _, err := l.store.blockOf(i)
	if err != nil {
		return decoded{}, err
	}
	d, err := l.decoded(number)
	if err == nil && !d.holds(i) {
		err = &DamageError{What: fmt.Sprintf("block %d, which should hold the entry", number), Index: i}
	}
	return d, err
}

// decoded is a block, from the cache or else read and checked.
func (l *Ledger) decoded(number uint64) (decoded, error) {
	if d, ok := l.cache.find(func(d decoded) bool { return d.number == number }); ok {
		return d, nil
	}
	age := l.cache.age()
	data, err := l.store.block(number)
	if err != nil {
		return decoded{}, err
	}
	entries, err := decode(number, data)
	if err != nil {
		return decoded{}, err
	}
	d := decoded{number: number, entries: entries}
	l.cache.put(d, age)
	return d, nil
}

// scratch keeps the columns that decoding needs.
var scratch = sync.Pool{New: func() any { return new(codec.Block) }}

// decode is the entries of a block that matched its leaf.
func decode(number uint64, data []byte) ([]codec.Entry, error) {
	entries, err := decodeEntries(data)
	if err != nil {
		return nil, &DamageError{What: fmt.Sprintf("block %d", number), Cause: err}
	}
	return entries, nil
}

// decodeEntries is a fresh slice, with data that are views of data.
func decodeEntries(data []byte) ([]codec.Entry, error) {
	b := scratch.Get().(*codec.Block)
	defer scratch.Put(b)
	if err := codec.DecodeBlock(data, b); err != nil {
		return nil, err
	}
	return slices.Clone(b.Entries()), nil
}
