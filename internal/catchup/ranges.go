package catchup

import (
	"slices"
	"sort"

	"github.com/logmesh/logmesh/codec"
)

// blockSet is a set of block numbers as ranges that are ascending and apart.
type blockSet struct{ ranges []codec.BlockRange }

// search is the position of the first range that ends at or after n.
func (s *blockSet) search(n uint64) int {
	return sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].To >= n })
}

// add adds the blocks [from, to).
func (s *blockSet) add(from, to uint64) {
	if from >= to {
		return
	}
	i := s.search(from)
	j := i
	for ; j < len(s.ranges) && s.ranges[j].From <= to; j++ {
		from, to = min(from, s.ranges[j].From), max(to, s.ranges[j].To)
	}
	s.ranges = slices.Replace(s.ranges, i, j, codec.BlockRange{From: from, To: to})
}

// remove takes the blocks [from, to) out.
func (s *blockSet) remove(from, to uint64) {
	i := s.search(from + 1)
	j := i
	var rest []codec.BlockRange
	for ; j < len(s.ranges) && s.ranges[j].From < to; j++ {
		r := s.ranges[j]
		if r.From < from {
			rest = append(rest, codec.BlockRange{From: r.From, To: from})
		}
		if r.To > to {
			rest = append(rest, codec.BlockRange{From: to, To: r.To})
		}
	}
	s.ranges = slices.Replace(s.ranges, i, j, rest...)
}

func (s *blockSet) has(n uint64) bool { return holds(s.ranges, n) }

func (s *blockSet) empty() bool { return len(s.ranges) == 0 }

// first is the lowest run at or above start of blocks that are also in held.
func (s *blockSet) first(start uint64, held []codec.BlockRange) (codec.BlockRange, bool) {
	i, j := s.search(start+1), sort.Search(len(held), func(i int) bool { return held[i].To > start })
	for i < len(s.ranges) && j < len(held) {
		from := max(start, s.ranges[i].From, held[j].From)
		to := min(s.ranges[i].To, held[j].To)
		if from < to {
			return codec.BlockRange{From: from, To: to}, true
		}
		if s.ranges[i].To < held[j].To {
			i++
		} else {
			j++
		}
	}
	return codec.BlockRange{}, false
}

// last is the highest block below end that is also in held.
func (s *blockSet) last(held []codec.BlockRange, end uint64) (uint64, bool) {
	i, j := len(s.ranges)-1, len(held)-1
	for i >= 0 && j >= 0 {
		from := max(s.ranges[i].From, held[j].From)
		to := min(s.ranges[i].To, held[j].To, end)
		if from < to {
			return to - 1, true
		}
		if s.ranges[i].From > held[j].From {
			i--
		} else {
			j--
		}
	}
	return 0, false
}

// holds reports whether ranges, ascending and apart, have block n.
func holds(ranges []codec.BlockRange, n uint64) bool {
	i := sort.Search(len(ranges), func(i int) bool { return ranges[i].To > n })
	return i < len(ranges) && ranges[i].From <= n
}

// sealed is what an offer is worth: its ranges in order, cut at its head,
// because a block that is not sealed cannot be served.
func sealed(held []codec.BlockRange, head uint64) []codec.BlockRange {
	var s blockSet
	for _, r := range held[:min(len(held), codec.MaxHeld)] {
		s.add(r.From, min(r.To, head))
	}
	return s.ranges
}
