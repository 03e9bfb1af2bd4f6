package replay

import (
	"encoding/binary"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// First bytes of the elements of the sessions' digest.
const (
	elementSession = 0x01 // ‖ id ‖ last ‖ low
	elementOutcome = 0x02 // ‖ id ‖ seq ‖ index ‖ rejected, one byte ‖ data
)

// mark notes that the digest of s must be brought up to date. It comes before
// any change of s in a batch.
func (t *table) mark(s *session) {
	if !s.dirty {
		s.dirty = true
		t.dirty = append(t.dirty, s)
	}
}

// digest is the digest of all sessions. What came and went since it was last
// read was never hashed.
func (t *table) digest() codec.Digest {
	for _, s := range t.dirty {
		s.dirty = false
		if t.byID[s.id] == s {
			t.rehash(s)
		}
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
	return t.sum.Sum()
}

func (t *table) rehash(s *session) {
	if s.hashed {
		t.sum.RemoveHash(s.hash)
	}
	t.begin(elementSession, uint64(s.id), uint64(s.last), s.low)
	s.hash, s.hashed = machine.ElementHash(t.scratch), true
	t.sum.AddHash(s.hash)

	live := s.live()
	for i := s.clean; i < len(live); i++ {
		if o := &live[i]; !o.hashed {
			t.begin(elementOutcome, uint64(s.id), o.seq, uint64(o.index))
			t.scratch = append(append(t.scratch, truth(o.rejected)), o.data...)
			o.hash, o.hashed = machine.ElementHash(t.scratch), true
			t.sum.AddHash(o.hash)
		}
	}
	s.clean = len(live)
}

// begin starts an element in t.scratch; numbers are big endian.
func (t *table) begin(kind byte, numbers ...uint64) {
	t.scratch = append(t.scratch[:0], kind)
	for _, n := range numbers {
		t.scratch = binary.BigEndian.AppendUint64(t.scratch, n)
	}
}

func truth(b bool) byte {
	if b {
		return 1
	}
	return 0
}
