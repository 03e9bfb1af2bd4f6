package catchup

import (
	"fmt"
	"testing"

	"github.com/logmesh/logmesh/codec"
)

func TestSearchFindsTheFirstBlockThatDiffers(t *testing.T) {
	for _, size := range []uint64{1, 2, 9, 10, 1000, 1 << 40} {
		for _, first := range []uint64{0, 1, size / 3, size / 2, size - 1} {
			if first >= size {
				continue
			}
			root := func(n uint64, ours bool) codec.Hash {
				return codec.Leaf(fmt.Append(nil, n, ours && n > first))
			}
			s, rounds := NewSearch(size), 0
			for sizes := s.Sizes(); len(sizes) > 0; sizes = s.Sizes() {
				if rounds++; rounds > 20 || len(sizes) > codec.MaxSizes {
					t.Fatalf("size %d: round %d asks for %d sizes", size, rounds, len(sizes))
				}
				var theirs []codec.SizedRoot
				for _, n := range sizes {
					theirs = append(theirs, codec.SizedRoot{Blocks: n, Root: root(n, false)})
				}
				s.Answered(theirs, func(n uint64) (codec.Hash, bool) { return root(n, true), true })
			}
			if got, ok := s.Found(); !ok || got != first {
				t.Errorf("size %d: found %d %v, want %d", size, got, ok, first)
			}
		}
	}
}
