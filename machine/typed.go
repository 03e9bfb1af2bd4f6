package machine

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/logmesh/logmesh/codec"
)

// Typed is a state machine over Go types: C for commands, R for their results,
// Q for queries, A for their answers. All four travel as CBOR (EncodeTyped). A
// type that must tell several commands apart is usually a struct with a field
// that names the operation.
//
// The rules of Machine hold, above all determinism. Give the fields short,
// lasting names (`cbor:"1,keyasint"` or `cbor:"name"`): they are kept in the
// log for ever.
type Typed[C, R, Q, A any] interface {
	// Signature is the name and version of the meaning, such as "counter/1".
	Signature() string
	// Apply applies the command at index. An error is a rejection: its text is
	// the reason, must be deterministic too, and nothing may have changed.
	Apply(index codec.Index, command C) (R, error)
	// Query answers a question without changing anything.
	Query(query Q) (A, error)
	// Digest is a hash of the state alone.
	Digest() codec.Digest
}

// Reasons with which the typed layer itself rejects a command.
const (
	reasonMalformed = "malformed command"
	reasonResult    = "the result cannot be encoded"
)

// FromTyped makes a Machine of t. It panics if one of the four types can never
// be encoded, a channel for example: that is a mistake of the program.
func FromTyped[C, R, Q, A any](t Typed[C, R, Q, A]) Machine {
	mustEncode[C](t.Signature(), "command")
	mustEncode[R](t.Signature(), "result")
	mustEncode[Q](t.Signature(), "query")
	mustEncode[A](t.Signature(), "answer")
	return typed[C, R, Q, A]{t}
}

func mustEncode[T any](signature, what string) {
	var zero T
	if _, err := EncodeTyped(zero); err != nil {
		panic(fmt.Sprintf("machine %s: type %T of the %s: %v", signature, zero, what, err))
	}
}

// typed carries bytes to and from a Typed.
type typed[C, R, Q, A any] struct{ t Typed[C, R, Q, A] }

func (m typed[C, R, Q, A]) Signature() string    { return m.t.Signature() }
func (m typed[C, R, Q, A]) Digest() codec.Digest { return m.t.Digest() }

func (m typed[C, R, Q, A]) Apply(b *Batch) {
	for _, data := range b.Commands() {
		var command C
		if err := DecodeTyped(data, &command); err != nil {
			b.Reject(reasonMalformed) // the library's text may change with its version
			continue
		}
		result, err := m.t.Apply(b.Index(), command)
		if err != nil {
			b.Reject(err.Error())
			continue
		}
		encoded, err := EncodeTyped(result)
		if err != nil {
			b.Reject(reasonResult)
			continue
		}
		b.Result(encoded)
	}
}

func (m typed[C, R, Q, A]) Query(dst, query []byte) ([]byte, error) {
	var q Q
	if err := DecodeTyped(query, &q); err != nil {
		return dst, fmt.Errorf("malformed query: %w", err)
	}
	answer, err := m.t.Query(q)
	if err != nil {
		return dst, err
	}
	encoded, err := EncodeTyped(answer)
	if err != nil {
		return dst, fmt.Errorf("encode the answer: %w", err)
	}
	return append(dst, encoded...), nil
}

// maxElements bounds arrays and maps in what DecodeTyped reads.
const maxElements = 1 << 20

var (
	typedEnc = must(cbor.CoreDetEncOptions().EncMode())
	typedDec = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		MaxNestedLevels:   32,
		MaxArrayElements:  maxElements,
		MaxMapPairs:       maxElements,
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

// EncodeTyped is the encoding of a command, result, query or answer of a Typed:
// CBOR in Core Deterministic form (RFC 8949 §4.2), so equal values have equal
// bytes, maps too.
func EncodeTyped(v any) ([]byte, error) { return typedEnc.Marshal(v) }

// DecodeTyped reads what EncodeTyped wrote into v, a pointer. It refuses fields
// that v does not have, a key that stands twice, strings that are not UTF-8,
// and bytes after the end.
func DecodeTyped(data []byte, v any) error { return typedDec.Unmarshal(data, v) }
