package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// checkDerived reads what follows from the blocks, whole: where they lie, the
// tree, configurations. Most of it is needed seldom, and damage in it should
// not wait until then. Blocks themselves are checked by whoever reads them, which
// replay does after each start.
func (s *store) checkDerived(v syncedView) error {
	if err := s.checkPlaces(v); err != nil {
		return err
	}
	if err := s.verifyPrefix(prefixConfig); err != nil {
		return err
	}
	return s.checkTree(v.blocks)
}

// checkPlaces holds the places of the blocks against each other and against the
// index by first entry.
func (s *store) checkPlaces(v syncedView) error {
	prev, number := codec.Cursor{}, uint64(0)
	begins := make([]codec.Index, 0, v.blocks)
	err := s.each(single(prefixSpan), numbered(prefixSpan, v.blocks), func(key, value []byte) error {
		body, err := bodyOf(key, value)
		if err != nil {
			return s.damaged(fmt.Sprintf("the place of block %d", number), number, err)
		}
		where, err := readSpan(body)
		if err != nil || numberOf(key) != number || where.first != prev.Index+1 || where.last.Term < prev.Term {
			return &DamageError{What: fmt.Sprintf("the place of block %d", number), Index: prev.Index + 1, Cause: err}
		}
		prev, number, begins = where.last, number+1, append(begins, where.first)
		return nil
	})
	if err == nil && (number != v.blocks || prev != v.last) {
		err = &DamageError{What: fmt.Sprintf("the places of the blocks: %d of %d, to %v", number, v.blocks, prev), Index: prev.Index + 1}
	}
	if err != nil {
		return err
	}
	return s.checkFirst(begins)
}

// checkFirst holds the index by first entry against where the blocks begin.
func (s *store) checkFirst(begins []codec.Index) error {
	const what = "the index of blocks"
	number := 0
	err := s.each(single(prefixFirst), after(prefixFirst), func(key, value []byte) error {
		if number == len(begins) {
			return errStop // what lies beyond the head is swept away
		}
		begin := begins[number]
		body, err := bodyOf(key, value)
		if err != nil {
			return damage(what, begin, err)
		}
		n, err := readNumbers(body, 1)
		if err != nil || n[0] != uint64(number) || numberOf(key) != uint64(begin) {
			return &DamageError{What: what, Index: begin, Cause: err}
		}
		number++
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	if err == nil && number < len(begins) {
		err = &DamageError{What: what, Index: begins[number], Cause: errGone}
	}
	return err
}

// errStop ends a visit that has seen enough.
var errStop = errors.New("enough")

// checkTree computes each level of the tree from the one below.
func (s *store) checkTree(blocks uint64) error {
	var below []codec.Hash
	for level := uint(0); blocks>>level > 0; level++ {
		nodes := make([]codec.Hash, 0, blocks>>level)
		from, to := codec.TreeNode{Level: level}, codec.TreeNode{Level: level, Number: blocks >> level}
		err := s.each(nodeKey(from), nodeKey(to), func(key, value []byte) error {
			k := uint64(len(nodes))
			wrong := len(value) != len(codec.Hash{}) || numberOf(key) != k
			if !wrong && level > 0 {
				wrong = codec.Hash(value) != codec.Node(below[2*k], below[2*k+1])
			}
			if wrong {
				return s.damaged(fmt.Sprintf("node %d of level %d of the block tree", k, level), k<<level, errLeaf)
			}
			nodes = append(nodes, codec.Hash(value))
			return nil
		})
		if k := uint64(len(nodes)); err == nil && k != blocks>>level {
			err = s.damaged(fmt.Sprintf("node %d of level %d of the block tree", k, level), k<<level, nil)
		}
		if err != nil {
			return err
		}
		below = nodes
	}
	return nil
}

// each visits the records with keys in [lower, upper). Key and value are valid
// during the visit.
func (s *store) each(lower, upper []byte, visit func(key, value []byte) error) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			break // it.Error says it too
		}
		if err := visit(it.Key(), value); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return damage(fmt.Sprintf("records %q", lower[:1]), 0, err)
	}
	return nil
}
