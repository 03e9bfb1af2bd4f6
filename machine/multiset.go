package machine

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/blake3"

	"github.com/logmesh/logmesh/codec"
)

// MultisetHash is a digest of a multiset of byte strings that is kept up to date
// at the price of the change, whatever the size of the set: the sum, modulo
// 2^256, of the BLAKE3-256 of its elements. The order in which elements came and
// went leaves no trace. The zero value is the empty multiset.
//
// It tells members that diverged by a fault. It does not withstand somebody who
// chooses elements in order to make two different sets have one sum, which takes
// far less work than a collision of the hash (Wagner's generalized birthdays).
type MultisetHash struct {
	limbs [4]uint64 // little endian
}

// ElementHash is the summand of an element. A machine that keeps it beside a
// large element need not hash that again in order to remove it.
func ElementHash(element []byte) codec.Hash { return blake3.Sum256(element) }

// Add puts one occurrence of element into the multiset. Elements of different
// meaning must differ in their bytes: begin them with a byte that says what they
// are, and put lengths before parts.
func (m *MultisetHash) Add(element []byte) { m.AddHash(ElementHash(element)) }

// Remove takes out one occurrence of element, which must be there.
func (m *MultisetHash) Remove(element []byte) { m.RemoveHash(ElementHash(element)) }

// AddHash is Add for an element of which the hash is known.
func (m *MultisetHash) AddHash(h codec.Hash) {
	var carry uint64
	for i := range m.limbs {
		m.limbs[i], carry = bits.Add64(m.limbs[i], binary.LittleEndian.Uint64(h[8*i:]), carry)
	}
}

// RemoveHash is Remove for an element of which the hash is known.
func (m *MultisetHash) RemoveHash(h codec.Hash) {
	var borrow uint64
	for i := range m.limbs {
		m.limbs[i], borrow = bits.Sub64(m.limbs[i], binary.LittleEndian.Uint64(h[8*i:]), borrow)
	}
}

// Sum is the digest of the multiset as it is now: zero if it is empty.
func (m *MultisetHash) Sum() (sum codec.Digest) {
	for i, limb := range m.limbs {
		binary.LittleEndian.PutUint64(sum[8*i:], limb)
	}
	return sum
}
