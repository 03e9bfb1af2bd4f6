package catchup

import "github.com/logmesh/logmesh/codec"

// Search finds the first block in which two logs differ by their roots at a few
// sizes at a time. The roots over same blocks are equal, those over differ are
// not, and same < differ.
type Search struct{ same, differ uint64 }

// NewSearch searches below a size at which the roots differ.
func NewSearch(differ uint64) *Search { return &Search{differ: differ} }

// Sizes is what to ask for next: at most codec.MaxSizes sizes, ascending; none
// once the block is found.
func (s *Search) Sizes() (list []uint64) {
	span := s.differ - s.same
	parts := min(span, codec.MaxSizes+1)
	for i := uint64(1); i < parts; i++ {
		list = append(list, s.same+i*span/parts)
	}
	return list
}

// Answered takes the other log's roots; ours gives this log's.
func (s *Search) Answered(theirs []codec.SizedRoot, ours func(blocks uint64) (codec.Hash, bool)) {
	for _, r := range theirs {
		if r.Blocks <= s.same || r.Blocks >= s.differ {
			continue
		}
		switch root, ok := ours(r.Blocks); {
		case !ok:
		case root == r.Root:
			s.same = r.Blocks
		default:
			s.differ = r.Blocks
		}
	}
}

// Found is the first block that differs.
func (s *Search) Found() (block uint64, ok bool) { return s.same, s.differ-s.same == 1 }
