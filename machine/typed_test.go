package machine

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/logmesh/logmesh/codec"
)

type (
	entry struct {
		Word string `cbor:"1,keyasint"`
	}
	report struct {
		Index codec.Index    `cbor:"1,keyasint"`
		Count map[string]int `cbor:"2,keyasint"`
	}
)

// words counts words: a Typed with a map in its result.
type words struct{ count map[string]int }

func (*words) Signature() string    { return "words/1" }
func (*words) Digest() codec.Digest { return codec.Digest{1} }

func (w *words) Apply(i codec.Index, e entry) (report, error) {
	if e.Word == "" {
		return report{}, errors.New("no word")
	}
	w.count[e.Word]++
	return report{Index: i, Count: w.count}, nil
}

func (w *words) Query(word string) (int, error) {
	if word == "" {
		return 0, errors.New("which word?")
	}
	return w.count[word], nil
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := EncodeTyped(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTypedApply(t *testing.T) {
	m := FromTyped(&words{count: make(map[string]int)})
	var b Batch
	b.Add(4, encode(t, entry{Word: "yes"}))
	b.Add(5, encode(t, entry{}))
	b.Add(6, []byte("no CBOR"))
	b.Add(7, append(encode(t, entry{Word: "no"}), 0)) // a byte too many
	b.Add(8, encode(t, map[int]string{1: "no", 2: "unknown field"}))
	b.Add(9, encode(t, entry{Word: "yes"}))
	m.Apply(&b)

	for i, want := range []string{1: "no word", 2: "malformed command", 3: "malformed command", 4: "malformed command"} {
		if o := b.Outcome(i); want != "" && (!o.Rejected || string(o.Data) != want) {
			t.Errorf("command %d: %q, rejected %v; want the reason %q", i, o.Data, o.Rejected, want)
		}
	}
	var r report
	if err := DecodeTyped(b.Outcome(5).Data, &r); err != nil || b.Outcome(5).Rejected {
		t.Fatal(err)
	}
	if r.Index != 9 || len(r.Count) != 1 || r.Count["yes"] != 2 {
		t.Errorf("%+v", r)
	}
}

func TestTypedQuery(t *testing.T) {
	m := FromTyped(&words{count: map[string]int{"yes": 3}})
	answer, err := m.Query([]byte("before"), encode(t, "yes"))
	if err != nil || !bytes.Equal(answer, append([]byte("before"), 3)) {
		t.Errorf("%q, %v", answer, err)
	}
	for _, q := range [][]byte{nil, {0xff}, encode(t, 7), encode(t, "")} {
		if answer, err := m.Query([]byte("before"), q); err == nil || string(answer) != "before" {
			t.Errorf("query %x: %q, %v", q, answer, err)
		}
	}
	if m.Signature() != "words/1" || m.Digest() != (codec.Digest{1}) {
		t.Error("signature or digest do not come through")
	}
}

// Equal results have equal bytes: the order of a map does not show.
func TestEncodeTypedSortsMaps(t *testing.T) {
	count := make(map[string]int)
	for c := 'a'; c <= 'z'; c++ {
		count[string(c)] = 1
	}
	first := encode(t, count)
	for range 20 {
		if !bytes.Equal(first, encode(t, count)) {
			t.Fatal("one map has two encodings")
		}
	}
}

type channels struct{ words }

func (channels) Apply(codec.Index, entry) (chan int, error) { return nil, nil }

func TestFromTypedRefusesWhatCannotBeEncoded(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(v.(string), "chan int of the result") {
			t.Errorf("panic %v", v)
		}
	}()
	FromTyped(&channels{})
}

// picky is a result that can be encoded only sometimes.
type picky bool

func (p picky) MarshalCBOR() ([]byte, error) {
	if p {
		return nil, errors.New("not this one")
	}
	return []byte{0xf4}, nil
}

type pickyMachine struct{ words }

func (pickyMachine) Apply(codec.Index, entry) (picky, error) { return true, nil }

func TestTypedResultThatCannotBeEncodedIsRejected(t *testing.T) {
	m := FromTyped(&pickyMachine{})
	var b Batch
	b.Add(1, encode(t, entry{Word: "x"}))
	m.Apply(&b)
	if o := b.Outcome(0); !o.Rejected || string(o.Data) != reasonResult {
		t.Errorf("%q, %v", o.Data, o.Rejected)
	}
}

func FuzzDecodeTyped(f *testing.F) {
	for _, v := range []any{entry{Word: "yes"}, report{Index: 3, Count: map[string]int{"a": 1}}, "text", 7} {
		data, err := EncodeTyped(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r report
		if err := DecodeTyped(data, &r); err != nil {
			return
		}
		var again report
		if err := DecodeTyped(encode(t, r), &again); err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
	})
}
