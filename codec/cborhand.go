package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The CBOR major types (RFC 8949 §3.1) that the hand-written encodings use.
const (
	cborUint  = 0 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
)

// The booleans (RFC 8949 §3.3).
const (
	cborFalse = 0xf4
	cborTrue  = 0xf5
)

// appendCBORHead appends a head in its shortest form.
func appendCBORHead(dst []byte, major byte, n uint64) []byte {
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

// cborReader reads heads in shortest form and keeps the first error, after
// which every read returns zero.
type cborReader struct {
	rest []byte
	err  error
}

var (
	errShort    = errors.New("it ends too early")
	errNotShort = errors.New("a number is not in its shortest form")
)

func (r *cborReader) fail(err error) uint64 {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
	return 0
}

// head reads one head of the given major type and returns its number.
func (r *cborReader) head(major byte) uint64 {
	if len(r.rest) > 0 && r.rest[0]&0xe0 != major {
		return r.fail(fmt.Errorf("byte %#x is not of CBOR major type %d", r.rest[0], major>>5))
	}
	return r.number()
}

// number reads one head of any major type and returns its number.
func (r *cborReader) number() uint64 {
	if len(r.rest) == 0 {
		return r.fail(errShort)
	}
	info := r.rest[0] & 0x1f
	if info < 24 {
		r.rest = r.rest[1:]
		return uint64(info)
	}
	if info > 27 {
		return r.fail(fmt.Errorf("byte %#x is not allowed here", r.rest[0]))
	}
	width := 1 << (info - 24)
	if len(r.rest) < 1+width {
		return r.fail(errShort)
	}
	var n uint64
	for _, c := range r.rest[1 : 1+width] {
		n = n<<8 | uint64(c)
	}
	if info == 24 && n < 24 || width > 1 && n>>(4*width) == 0 {
		return r.fail(errNotShort)
	}
	r.rest = r.rest[1+width:]
	return n
}

func (r *cborReader) uint() uint64 { return r.head(cborUint) }

// expect reads a head that must hold exactly n.
func (r *cborReader) expect(major byte, n uint64) {
	if got := r.head(major); r.err == nil && got != n {
		r.fail(fmt.Errorf("%d stands where %d must stand", got, n))
	}
}

// uints appends an array of at most limit unsigned integers to dst.
func (r *cborReader) uints(dst []uint64, limit uint64) []uint64 {
	n := r.head(cborArray)
	if n > limit {
		r.fail(fmt.Errorf("an array of %d, at most %d are allowed", n, limit))
	}
	for ; n > 0 && r.err == nil; n-- {
		dst = append(dst, r.uint())
	}
	return dst
}

// bytes reads a byte string of at most limit bytes; it is a view, not a copy.
func (r *cborReader) bytes(limit uint64) []byte {
	n := r.head(cborBytes)
	if n > limit {
		r.fail(fmt.Errorf("a byte string of %d bytes, at most %d are allowed", n, limit))
	}
	if n > uint64(len(r.rest)) {
		r.fail(errShort)
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}
