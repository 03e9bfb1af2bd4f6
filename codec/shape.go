package codec

import (
	"errors"
	"fmt"
)

// What a message may consist of, whatever its type: what is decoded from an
// item takes at most some 70 bytes beyond the item's own, so maxItems bounds
// the memory that a small message of many small items can claim.
const (
	maxItems = 8192 // CBOR data items, keys not counted; the greatest legal Answer has 5,820
	maxDepth = 6    // nested arrays and maps; the deepest, Answer, has 5
	maxArray = 1024 // items of one array
	maxPairs = 16   // keys of one map
)

var (
	errItems  = errors.New("too many data items")
	errDepth  = errors.New("nested too deeply")
	errKeys   = errors.New("map keys are doubled or out of order")
	errAfter  = errors.New("bytes after the end")
	errMember = errors.New("an array or map has too many members")
)

// checkShape walks data, one CBOR item, and allocates nothing. It accepts only
// what messages are made of: unsigned integers, byte and text strings, arrays,
// maps with ascending unsigned keys, true and false; definite lengths, every
// number in its shortest form, nothing after the end.
func checkShape(data []byte) error {
	s := shape{cborReader: cborReader{rest: data}}
	s.item(maxDepth)
	if s.err == nil && len(s.rest) != 0 {
		s.fail(errAfter)
	}
	return s.err
}

type shape struct {
	cborReader
	items int
}

// item walks one item that may nest depth levels.
func (s *shape) item(depth int) {
	if s.items++; s.items > maxItems {
		s.fail(errItems)
	}
	if s.err == nil && len(s.rest) == 0 {
		s.fail(errShort)
	}
	if s.err != nil {
		return
	}
	first := s.rest[0]
	if first == cborFalse || first == cborTrue {
		s.rest = s.rest[1:]
		return
	}
	n := s.number()
	switch major := first & 0xe0; major {
	case cborUint:
	case cborBytes, cborText:
		s.skip(n)
	case cborArray:
		s.array(n, depth)
	case cborMap:
		s.pairs(n, depth)
	default:
		s.fail(fmt.Errorf("byte %#x is not allowed in a message", first))
	}
}

func (s *shape) skip(n uint64) {
	if n > uint64(len(s.rest)) {
		s.fail(errShort)
		return
	}
	s.rest = s.rest[n:]
}

// enter checks the head of an array or map.
func (s *shape) enter(n, limit uint64, depth int) {
	if depth == 0 {
		s.fail(errDepth)
	}
	if n > limit {
		s.fail(errMember)
	}
}

func (s *shape) array(n uint64, depth int) {
	s.enter(n, maxArray, depth)
	for ; n > 0 && s.err == nil; n-- {
		s.item(depth - 1)
	}
}

func (s *shape) pairs(n uint64, depth int) {
	s.enter(n, maxPairs, depth)
	for i, last := uint64(0), uint64(0); i < n && s.err == nil; i++ {
		key := s.uint()
		if i > 0 && key <= last {
			s.fail(errKeys)
		}
		last = key
		s.item(depth - 1)
	}
}
