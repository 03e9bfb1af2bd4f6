package ledger

import (
	"cmp"
	"slices"

	"github.com/logmesh/logmesh/codec"
)

// gaps are the blocks that are missing after a repair.
type gaps struct {
	open    bool // the record is there
	missing ranges
	// unproved are the blocks whose leaf was lost too: only the root, once all
	// blocks are here, tells whether they are the right ones.
	unproved ranges
	whole    codec.Index // no block is absent up to here; not stored
}

// absent are the blocks that nobody may have yet: missing, or here but unproved.
func (g gaps) absent() (out ranges) {
	all := slices.Concat(g.missing, g.unproved)
	slices.SortFunc(all, func(a, b codec.BlockRange) int { return cmp.Compare(a.From, b.From) })
	for _, r := range all {
		if last := len(out) - 1; last >= 0 && r.From <= out[last].To {
			out[last].To = max(out[last].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// ranges are block numbers: in order, apart from each other, none empty.
type ranges []codec.BlockRange

func (r ranges) holds(n uint64) bool {
	i, found := slices.BinarySearchFunc(r, n, func(r codec.BlockRange, n uint64) int {
		switch {
		case r.To <= n:
			return -1
		case r.From > n:
			return 1
		}
		return 0
	})
	return found && i < len(r)
}

// with appends n, which is above all that are there.
func (r ranges) with(n uint64) ranges {
	if last := len(r) - 1; last >= 0 && r[last].To == n {
		r[last].To++
		return r
	}
	return append(r, codec.BlockRange{From: n, To: n + 1})
}

// without is a copy that lacks n.
func (r ranges) without(n uint64) ranges {
	var out ranges
	for _, x := range r {
		if n < x.From || n >= x.To {
			out = append(out, x)
			continue
		}
		if x.From < n {
			out = append(out, codec.BlockRange{From: x.From, To: n})
		}
		if n+1 < x.To {
			out = append(out, codec.BlockRange{From: n + 1, To: x.To})
		}
	}
	return out
}

// complement is what of [0, n) is not in r.
func (r ranges) complement(n uint64) (out ranges) {
	next := uint64(0)
	for _, x := range append(slices.Clone(r), codec.BlockRange{From: n, To: n}) {
		if next < x.From {
			out = append(out, codec.BlockRange{From: next, To: x.From})
		}
		next = x.To
	}
	return out
}

func (r ranges) blocks() (n uint64) {
	for _, x := range r {
		n += x.To - x.From
	}
	return n
}

func gapsBody(g gaps) []byte {
	numbers := []uint64{uint64(len(g.missing))}
	for _, r := range slices.Concat(g.missing, g.unproved) {
		numbers = append(numbers, r.From, r.To)
	}
	return numbersBody(numbers...)
}

func readGaps(body []byte) (g gaps, err error) {
	numbers, err := readNumbers(body, len(body)/8)
	if err != nil {
		return g, err
	}
	if len(numbers)%2 == 0 || numbers[0] > uint64(len(numbers)/2) {
		return g, errSize
	}
	missing := int(numbers[0]) //nolint:gosec // not above the length
	for i := 1; i < len(numbers); i += 2 {
		r := codec.BlockRange{From: numbers[i], To: numbers[i+1]}
		if i/2 < missing {
			g.missing = append(g.missing, r)
		} else {
			g.unproved = append(g.unproved, r)
		}
	}
	g.open = true
	return g, nil
}

// Holes are the blocks that Repair could not save, in order. While there are any
// the ledger has no raft view and takes nothing but Fill. None: it is whole.
func (l *Ledger) Holes() []codec.BlockRange {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.gaps.missing
}

// Held are the blocks that are here and proved, in order.
func (l *Ledger) Held() []codec.BlockRange {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.gaps.absent().complement(l.synced.blocks)
}

// Whole is the index up to which all blocks are here and proved.
func (l *Ledger) Whole() codec.Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.gaps.open {
		return l.gaps.whole
	}
	return l.synced.last.Index
}

// has reports whether block number is here, and proved.
func (l *Ledger) has(number uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return number < l.synced.blocks && !l.gaps.absent().holds(number)
}
