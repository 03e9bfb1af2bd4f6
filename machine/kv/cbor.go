package kv

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// What the encodings use of CBOR (RFC 8949 §3): major types and simple values.
const (
	majorUint  = 0 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5

	simpleFalse = 0xf4
	simpleTrue  = 0xf5
	simpleNull  = 0xf6
)

// appendHead appends a head in its shortest form.
func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), n)
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

func appendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

// appendOptional appends b, or null if it does not exist.
func appendOptional(dst, b []byte, exists bool) []byte {
	if !exists {
		return append(dst, simpleNull)
	}
	return appendBytes(dst, b)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, simpleTrue)
	}
	return append(dst, simpleFalse)
}

// pairSize bounds what appendText(key) and appendBytes(value) append.
func pairSize(key, value int) int { return key + value + 2*5 }

var errMalformed = errors.New("malformed")

// reader reads canonical CBOR and keeps the first error, after which every read
// returns zero. What it returns are views.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// head reads a head of the given major type and returns its number.
func (r *reader) head(major byte) uint64 {
	if len(r.rest) == 0 || r.rest[0]&0xe0 != major {
		r.fail(errMalformed)
		return 0
	}
	info := r.rest[0] & 0x1f
	if info < 24 {
		r.rest = r.rest[1:]
		return uint64(info)
	}
	width := 1 << (info - 24) // info ≤ 31
	if info > 27 || len(r.rest) < 1+width {
		r.fail(errMalformed)
		return 0
	}
	var n uint64
	for _, b := range r.rest[1 : 1+width] {
		n = n<<8 | uint64(b)
	}
	if info == 24 && n < 24 || info > 24 && n>>(4*width) == 0 {
		r.fail(errMalformed) // it has a shorter form
		return 0
	}
	r.rest = r.rest[1+width:]
	return n
}

// array reads the head of an array of n.
func (r *reader) array(n uint64) {
	if r.head(majorArray) != n {
		r.fail(errMalformed)
	}
}

// string reads a string of the given major type. One longer than limit bytes is
// the error tooLong.
func (r *reader) string(major byte, limit int, tooLong error) []byte {
	n := r.head(major)
	switch {
	case r.err != nil:
		return nil
	case n > uint64(limit):
		r.fail(tooLong)
		return nil
	case n > uint64(len(r.rest)):
		r.fail(errMalformed)
		return nil
	}
	s := r.rest[:n:n]
	r.rest = r.rest[n:]
	return s
}

// key reads a key.
func (r *reader) key() []byte {
	k := r.string(majorText, MaxKey, errKey)
	if r.err == nil && (len(k) == 0 || !utf8.Valid(k)) {
		r.fail(errKey)
	}
	return k
}

// part reads what a scan says of keys: UTF-8, perhaps empty.
func (r *reader) part() []byte {
	k := r.string(majorText, MaxKey, errKey)
	if r.err == nil && !utf8.Valid(k) {
		r.fail(errKey)
	}
	return k
}

func (r *reader) value() []byte { return r.string(majorBytes, MaxValue, errValue) }

// optional reads a value or null.
func (r *reader) optional() (value []byte, exists bool) {
	if len(r.rest) > 0 && r.rest[0] == simpleNull {
		r.rest = r.rest[1:]
		return nil, false
	}
	value = r.value()
	return value, r.err == nil
}

func (r *reader) bool() bool {
	if len(r.rest) == 0 || r.rest[0] != simpleFalse && r.rest[0] != simpleTrue {
		r.fail(errMalformed)
		return false
	}
	b := r.rest[0] == simpleTrue
	r.rest = r.rest[1:]
	return b
}

// end is the first error; bytes that are left are one.
func (r *reader) end() error {
	if len(r.rest) != 0 {
		r.fail(errMalformed)
	}
	return r.err
}
