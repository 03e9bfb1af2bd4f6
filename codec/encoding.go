package codec

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Message is every message that travels in a frame: pointers to the structs of
// message.go.
type Message interface {
	frameType() FrameType
	check() error
}

// TypeOf is the frame type of m.
func TypeOf(m Message) FrameType { return m.frameType() }

var (
	encMode = must(func() (cbor.UserBufferEncMode, error) {
		opts := cbor.CoreDetEncOptions()
		opts.NilContainers = cbor.NilContainerAsEmpty
		return opts.UserBufferEncMode()
	}())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   maxDepth,
		MaxArrayElements:  maxArray,
		MaxMapPairs:       maxPairs,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("cbor: " + err.Error()) // the options above are constants
	}
	return v
}

// ErrMessage is wrapped by every error of Decode.
var ErrMessage = errors.New("bad message")

// Encode is the canonical encoding of m. It fails only on a value that Decode
// would refuse, or that is larger than its limit.
func Encode(m Message) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encode %v: %w", m.frameType(), err)
	}
	data, err := encMode.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %v: %w", m.frameType(), err)
	}
	if limit := m.frameType().Limit(); len(data) > limit {
		return nil, fmt.Errorf("encode %v: %d bytes, at most %d are allowed", m.frameType(), len(data), limit)
	}
	return data, nil
}

// Decode reads the canonical encoding of a message into m, which must be a
// pointer to a zero value. Errors wrap ErrMessage; m is then unspecified. It
// takes at most twice the input's size and 1 MiB of memory, of which m keeps at
// most the input's size and 1 MiB.
func Decode(data []byte, m Message) error {
	t := m.frameType()
	if len(data) > t.Limit() {
		return fmt.Errorf("%w: %v of %d bytes, at most %d are allowed", ErrMessage, t, len(data), t.Limit())
	}
	if err := decodeCanonical(data, m); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrMessage, t, err)
	}
	return nil
}

// checked is a value that knows its own rules.
type checked interface{ check() error }

var errNotCanonical = errors.New("not in canonical form")

// decodeCanonical decodes data, checks the result, and refuses it unless
// encoding it gives the same bytes.
func decodeCanonical(data []byte, v checked) error {
	if err := checkShape(data); err != nil {
		return err
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return err
	}
	again := bytes.NewBuffer(make([]byte, 0, len(data)))
	if err := encMode.MarshalToBuffer(v, again); err != nil {
		return err
	}
	if !bytes.Equal(data, again.Bytes()) {
		return errNotCanonical
	}
	return nil
}

// EncodeConfigContext is the canonical encoding of c.
func EncodeConfigContext(c ConfigContext) ([]byte, error) { return encodeValue(&c) }

// DecodeConfigContext reads what EncodeConfigContext wrote.
func DecodeConfigContext(data []byte) (c ConfigContext, err error) {
	return c, decodeValue(data, &c)
}

// EncodeConfiguration is the canonical encoding of c, as the ledger keeps it.
func EncodeConfiguration(c Configuration) ([]byte, error) { return encodeValue(&c) }

// DecodeConfiguration reads what EncodeConfiguration wrote.
func DecodeConfiguration(data []byte) (c Configuration, err error) {
	return c, decodeValue(data, &c)
}

func encodeValue(v checked) ([]byte, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	return encMode.Marshal(v)
}

func decodeValue(data []byte, v checked) error {
	if err := decodeCanonical(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return nil
}

// blocksHeadMax bounds what stands before the data in an encoded Blocks.
const blocksHeadMax = 32

// AppendBlocksHead appends the encoding of a Blocks message up to and without
// its size bytes of data, which must follow.
func AppendBlocksHead(dst []byte, lease, number uint64, zstd bool, size int) []byte {
	dst = appendCBORHead(dst, cborMap, 4)
	dst = appendCBORHead(dst, cborUint, 1)
	dst = appendCBORHead(dst, cborUint, lease)
	dst = appendCBORHead(dst, cborUint, 2)
	dst = appendCBORHead(dst, cborUint, number)
	dst = append(dst, 3, cborBool(zstd), 4)
	return appendCBORHead(dst, cborBytes, uint64(size))
}

func cborBool(b bool) byte {
	if b {
		return cborTrue
	}
	return cborFalse
}

// DecodeBlocks reads a Blocks message. Its data is a view of body.
func DecodeBlocks(body []byte) (Blocks, error) {
	r := cborReader{rest: body}
	r.expect(cborMap, 4)
	r.expect(cborUint, 1)
	m := Blocks{Lease: r.uint()}
	r.expect(cborUint, 2)
	m.Number = r.uint()
	r.expect(cborUint, 3)
	if r.err == nil && (len(r.rest) == 0 || r.rest[0] != cborBool(true) && r.rest[0] != cborBool(false)) {
		r.fail(errors.New("a boolean is missing"))
	}
	if r.err == nil {
		m.Zstd = r.rest[0] == cborBool(true)
		r.rest = r.rest[1:]
	}
	r.expect(cborUint, 4)
	m.Data = r.bytes(MaxBlock)
	if r.err == nil && len(r.rest) != 0 {
		r.fail(fmt.Errorf("%d bytes after the end", len(r.rest)))
	}
	if r.err == nil {
		r.err = m.check()
	}
	if r.err != nil {
		return Blocks{}, fmt.Errorf("%w: Blocks: %w", ErrMessage, r.err)
	}
	return m, nil
}
