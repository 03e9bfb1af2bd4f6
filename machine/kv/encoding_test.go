package kv

import (
	"encoding/hex"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/machine"
)

// vectors pin the bytes of "kv/1".
var vectors = []struct {
	command Command
	want    string
}{
	{Put{Key: "a", Value: []byte("1")}, "830161614131"},
	{Put{Key: "é", Value: []byte{}}, "830162c3a940"},
	{Delete{Key: "a"}, "82026161"},
	{CAS{Key: "a", Old: []byte("1"), OldExists: true, New: []byte("2"), NewExists: true}, "8403616141314132"},
	{CAS{Key: "a", New: []byte("2"), NewExists: true}, "84036161f64132"},
	{CAS{Key: "a", Old: []byte{}, OldExists: true}, "8403616140f6"},
}

var queryVectors = []struct {
	query Query
	want  string
}{
	{Get{Key: "a"}, "82016161"},
	{Scan{}, "8502606000f4"},
	{Scan{Prefix: "a/", After: "a/b", Limit: 1000, KeysOnly: true}, "850262612f63612f621903e8f5"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		data, err := EncodeCommand(v.command)
		require.NoError(t, err)
		require.Equal(t, v.want, hex.EncodeToString(data), "%+v", v.command)
		back, err := DecodeCommand(data)
		require.NoError(t, err)
		require.Equal(t, v.command, back)
	}
	for _, v := range queryVectors {
		data, err := EncodeQuery(v.query)
		require.NoError(t, err)
		require.Equal(t, v.want, hex.EncodeToString(data), "%+v", v.query)
		back, err := DecodeQuery(data)
		require.NoError(t, err)
		require.Equal(t, v.query, back)
	}
}

// The digest is pinned too: it is the sum of the pairs' hashes.
func TestDigestVector(t *testing.T) {
	m := New()
	m.put([]byte("a"), []byte("1"))
	m.put([]byte("b"), []byte("2"))
	var want machine.MultisetHash
	want.Add([]byte{0x61, 'b', 0x41, '2'})
	want.Add([]byte{0x61, 'a', 0x41, '1'})
	require.Equal(t, want.Sum(), m.Digest())
	m.remove([]byte("a"))
	m.remove([]byte("b"))
	require.True(t, m.Digest().IsZero())
}

// What is written by hand is ordinary CBOR, in the form that the library calls
// core deterministic.
func TestEncodingsAreCanonicalCBOR(t *testing.T) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	require.NoError(t, err)
	m := New()
	for _, key := range []string{"a", "key of more than twenty-three bytes"} {
		for _, size := range []int{0, 23, 24, 255, 256, 65535, 65536} {
			value := make([]byte, size)
			data, err := EncodeCommand(Put{Key: key, Value: value})
			require.NoError(t, err)
			lib, err := mode.Marshal([]any{opPut, key, value})
			require.NoError(t, err)
			require.Equal(t, lib, data)
			m.put([]byte(key), value)
		}
	}
	page, err := m.Query(nil, []byte{0x85, 0x02, 0x60, 0x60, 0x00, 0xf4})
	require.NoError(t, err)
	lib, err := mode.Marshal([]any{false, []any{"a", make([]byte, 65536), "key of more than twenty-three bytes", make([]byte, 65536)}})
	require.NoError(t, err)
	require.Equal(t, lib, page)
}

func TestMalformedCommandsAreRejected(t *testing.T) {
	bad := map[string]string{
		"":                         "malformed",
		"80":                       "malformed",
		"ff":                       "malformed",
		"9f0161614131ff":           "malformed",         // indefinite length
		"8301616141":               "malformed",         // the value ends early
		"83016161413100":           "malformed",         // a byte after the end
		"83180161614131":           "malformed",         // 1 in two bytes
		"83016161580131":           "malformed",         // a length in two bytes
		"8301616161 31":            "malformed",         // a text as value
		"830161614131f6":           "malformed",         // more elements than said
		"83016161f6":               "malformed",         // a put without a value
		"83016161f7":               "malformed",         // undefined
		"8201616141 31":            "unknown operation", // a put of two
		"830461614131":             "unknown operation",
		"82006161":                 "unknown operation",
		"821bffffffffffffffff6161": "unknown operation",
		"83016041 31":              errKey.Error(),   // no key
		"83016 1ff4131":            errKey.Error(),   // not UTF-8
		"83017904014131":           errKey.Error(),   // a key of 1025
		"830161615a00100001":       errValue.Error(), // a value of 1 MiB + 1
	}
	for text, want := range bad {
		data, err := hex.DecodeString(removeSpaces(text))
		require.NoError(t, err, text)
		var b machine.Batch
		b.Add(1, data)
		m := New()
		m.Apply(&b)
		o := b.Outcome(0)
		require.True(t, o.Rejected, text)
		require.Equal(t, want, string(o.Data), text)
		require.Zero(t, m.Len())
		_, err = DecodeCommand(data)
		require.EqualError(t, err, want)
	}
}

func removeSpaces(s string) string {
	var out []byte
	for _, c := range []byte(s) {
		if c != ' ' {
			out = append(out, c)
		}
	}
	return string(out)
}

func TestMalformedAnswers(t *testing.T) {
	for _, text := range []string{"", "f6f6", "6161", "f4", "42 31"} {
		data, err := hex.DecodeString(removeSpaces(text))
		require.NoError(t, err)
		_, err = DecodeGetAnswer(data)
		require.Error(t, err, text)
	}
	for _, text := range []string{"", "82f481", "82f4816161", "82f6 80", "82f4 82 6162 f6 00", "82f4 84 6162 f6 6161 f6", "82f4 84 6161 f6 6161 f6", "82f49bfffffffffffffffe"} {
		data, err := hex.DecodeString(removeSpaces(text))
		require.NoError(t, err)
		_, err = DecodeScanAnswer(data)
		require.Error(t, err, text)
	}
	for _, data := range [][]byte{nil, {simpleNull}, {simpleTrue, simpleTrue}, {1}} {
		_, err := DecodePutResult(data)
		require.Error(t, err)
		_, err = DecodeDeleteResult(data)
		require.Error(t, err)
		_, err = DecodeCASResult(data)
		require.Error(t, err)
	}
}
