package kv

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/logmesh/logmesh/machine"
)

func seed(f *testing.F, texts ...string) {
	for _, text := range texts {
		data, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// A command is rejected, or is the only encoding of what it says.
func FuzzCommand(f *testing.F) {
	for _, v := range vectors {
		seed(f, v.want)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCommand(data)
		var b machine.Batch
		b.Add(1, data)
		New().Apply(&b)
		if b.Outcome(0).Rejected != (err != nil) {
			t.Fatalf("decoded with %v, and applied with %q", err, b.Outcome(0).Data)
		}
		if err != nil {
			return
		}
		if again, err := EncodeCommand(c); err != nil || !bytes.Equal(data, again) {
			t.Fatalf("%x decodes to %+v, which encodes to %x, %v", data, c, again, err)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, v := range queryVectors {
		seed(f, v.want)
	}
	m := New()
	m.put([]byte("a"), []byte("1"))
	m.put([]byte("a/b"), []byte("2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := DecodeQuery(data)
		if _, asked := m.Query(nil, data); (asked != nil) != (err != nil) {
			t.Fatalf("decoded with %v, and asked with %v", err, asked)
		}
		if err != nil {
			return
		}
		if again, err := EncodeQuery(q); err != nil || !bytes.Equal(data, again) {
			t.Fatalf("%x decodes to %+v, which encodes to %x, %v", data, q, again, err)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	seed(f, "f6", "4131", "f5", "82f580", "82f48461614131626162f6")
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := DecodeGetAnswer(data); err == nil {
			if again := appendOptional(nil, a.Value, a.Found); !bytes.Equal(data, again) {
				t.Fatalf("%x decodes to %+v, which encodes to %x", data, a, again)
			}
		}
		if a, err := DecodePutResult(data); err == nil {
			if again := appendBool(nil, a.Existed); !bytes.Equal(data, again) {
				t.Fatalf("%x decodes to %+v", data, a)
			}
		}
		a, err := DecodeScanAnswer(data)
		if err != nil {
			return
		}
		again := appendBool(appendHead(nil, majorArray, 2), a.More)
		again = appendHead(again, majorArray, uint64(2*len(a.Items)))
		for _, i := range a.Items {
			again = appendOptional(appendText(again, i.Key), i.Value, i.Value != nil)
		}
		if !bytes.Equal(data, again) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", data, a, again)
		}
	})
}
