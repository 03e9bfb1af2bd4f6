package kv_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/kv"
	"github.com/logmesh/logmesh/machine/machinetest"
)

// apply applies one command and returns its outcome.
func apply(m machine.Machine, data []byte) machine.Outcome {
	var b machine.Batch
	b.Add(1, data)
	m.Apply(&b)
	return b.Outcome(0)
}

func encode(t require.TestingT, c kv.Command) []byte {
	data, err := kv.EncodeCommand(c)
	require.NoError(t, err)
	return data
}

func ask(t require.TestingT, m machine.Machine, q kv.Query) []byte {
	data, err := kv.EncodeQuery(q)
	require.NoError(t, err)
	answer, err := m.Query(nil, data)
	require.NoError(t, err)
	return answer
}

func get(t require.TestingT, m machine.Machine, key string) kv.GetAnswer {
	a, err := kv.DecodeGetAnswer(ask(t, m, kv.Get{Key: key}))
	require.NoError(t, err)
	return a
}

func scan(t require.TestingT, m machine.Machine, s kv.Scan) kv.ScanAnswer {
	a, err := kv.DecodeScanAnswer(ask(t, m, s))
	require.NoError(t, err)
	return a
}

func value(s string) kv.GetAnswer { return kv.GetAnswer{Found: true, Value: []byte(s)} }

func TestPutGetDelete(t *testing.T) {
	m := kv.New()
	require.Equal(t, kv.GetAnswer{}, get(t, m, "a"))
	require.False(t, existed(t, m, kv.Put{Key: "a", Value: []byte("1")}))
	require.True(t, existed(t, m, kv.Put{Key: "a", Value: []byte("2")}))
	require.Equal(t, value("2"), get(t, m, "a"))
	require.False(t, existed(t, m, kv.Put{Key: "empty"}))
	require.Equal(t, value(""), get(t, m, "empty"), "an empty value is a value")
	require.Equal(t, 2, m.Len())
	require.True(t, existed(t, m, kv.Delete{Key: "a"}))
	require.False(t, existed(t, m, kv.Delete{Key: "a"}))
	require.Equal(t, kv.GetAnswer{}, get(t, m, "a"))
	require.Equal(t, 1, m.Len())
}

// existed applies a Put or a Delete.
func existed(t *testing.T, m machine.Machine, c kv.Command) bool {
	o := apply(m, encode(t, c))
	require.False(t, o.Rejected, "%s", o.Data)
	if _, ok := c.(kv.Put); ok {
		r, err := kv.DecodePutResult(o.Data)
		require.NoError(t, err)
		return r.Existed
	}
	r, err := kv.DecodeDeleteResult(o.Data)
	require.NoError(t, err)
	return r.Existed
}

func TestCompareAndSwap(t *testing.T) {
	m := kv.New()
	swap := func(c kv.CAS) bool {
		c.Key = "k"
		o := apply(m, encode(t, c))
		require.False(t, o.Rejected, "%s", o.Data)
		r, err := kv.DecodeCASResult(o.Data)
		require.NoError(t, err)
		return r.Swapped
	}
	one, two := []byte("1"), []byte("2")
	require.False(t, swap(kv.CAS{Old: one, OldExists: true, New: two, NewExists: true}), "there is no value")
	require.False(t, swap(kv.CAS{OldExists: true, New: two, NewExists: true}), "no value is not an empty one")
	require.True(t, swap(kv.CAS{New: one, NewExists: true}))
	require.Equal(t, value("1"), get(t, m, "k"))
	require.False(t, swap(kv.CAS{New: two, NewExists: true}), "there is a value now")
	require.False(t, swap(kv.CAS{Old: two, OldExists: true}))
	require.True(t, swap(kv.CAS{Old: one, OldExists: true, New: two, NewExists: true}))
	require.Equal(t, value("2"), get(t, m, "k"))
	require.True(t, swap(kv.CAS{Old: two, OldExists: true}))
	require.False(t, get(t, m, "k").Found)
	require.True(t, swap(kv.CAS{}), "nothing for nothing")
	require.Zero(t, m.Len())
}

func TestScanPages(t *testing.T) {
	m := kv.New()
	keys := []string{"a", "a/1", "a/2", "a/3", "a0", "b", "é"}
	for _, k := range keys {
		apply(m, encode(t, kv.Put{Key: k, Value: []byte("of " + k)}))
	}
	names := func(a kv.ScanAnswer) (names []string) {
		for _, i := range a.Items {
			require.Equal(t, "of "+i.Key, string(i.Value))
			names = append(names, i.Key)
		}
		return names
	}
	tests := []struct {
		scan kv.Scan
		want []string
		more bool
	}{
		{kv.Scan{}, keys, false},
		{kv.Scan{Limit: 7}, keys, false},
		{kv.Scan{Limit: 6}, keys[:6], true},
		{kv.Scan{Prefix: "a/"}, []string{"a/1", "a/2", "a/3"}, false},
		{kv.Scan{Prefix: "a/", Limit: 2}, []string{"a/1", "a/2"}, true},
		{kv.Scan{Prefix: "a/", After: "a/2", Limit: 2}, []string{"a/3"}, false},
		{kv.Scan{Prefix: "a/", After: "a/2x"}, []string{"a/3"}, false},
		{kv.Scan{Prefix: "a/", After: "a/3"}, nil, false},
		{kv.Scan{Prefix: "a/", After: "b"}, nil, false},
		{kv.Scan{Prefix: "a/", After: "A"}, []string{"a/1", "a/2", "a/3"}, false},
		{kv.Scan{After: "b"}, []string{"é"}, false},
		{kv.Scan{Prefix: "x"}, nil, false},
	}
	for _, test := range tests {
		a := scan(t, m, test.scan)
		require.Equal(t, test.want, names(a), "%+v", test.scan)
		require.Equal(t, test.more, a.More, "%+v", test.scan)
	}
	a := scan(t, m, kv.Scan{Prefix: "a/", KeysOnly: true})
	require.Equal(t, []kv.Item{{Key: "a/1"}, {Key: "a/2"}, {Key: "a/3"}}, a.Items)
}

func TestScanPagesAreBounded(t *testing.T) {
	m := kv.New()
	big := bytes.Repeat([]byte("v"), 300<<10)
	want := map[string]int{}
	for i := range 10 {
		k := fmt.Sprint("big", i)
		apply(m, encode(t, kv.Put{Key: k, Value: big}))
		want[k] = len(big)
	}
	whole := bytes.Repeat([]byte("v"), kv.MaxValue)
	apply(m, encode(t, kv.Put{Key: "big5", Value: whole}))
	want["big5"] = len(whole)

	pages, got := 0, map[string]int{}
	for s := (kv.Scan{Prefix: "big"}); ; {
		answer := ask(t, m, s)
		a, err := kv.DecodeScanAnswer(answer)
		require.NoError(t, err)
		require.True(t, len(answer) <= kv.ScanBytes || len(a.Items) == 1, "%d bytes, %d items", len(answer), len(a.Items))
		for _, i := range a.Items {
			got[i.Key] = len(i.Value)
			s.After = i.Key
		}
		pages++
		if !a.More {
			break
		}
	}
	require.Equal(t, want, got)
	require.Equal(t, 5, pages) // 3, 2, the whole one, 3, 1
	require.Len(t, scan(t, m, kv.Scan{KeysOnly: true}).Items, 10, "keys only: one page")
}

func TestLimits(t *testing.T) {
	longest := strings.Repeat("k", kv.MaxKey)
	bad := map[string]kv.Command{
		"no key":           kv.Put{},
		"a long key":       kv.Put{Key: longest + "k"},
		"not UTF-8":        kv.Delete{Key: "\xff"},
		"a large value":    kv.Put{Key: "k", Value: make([]byte, kv.MaxValue+1)},
		"a large old":      kv.CAS{Key: "k", OldExists: true, Old: make([]byte, kv.MaxValue+1)},
		"two large values": kv.CAS{Key: "k", OldExists: true, Old: make([]byte, kv.MaxValue), NewExists: true, New: make([]byte, kv.MaxValue)},
	}
	for name, c := range bad {
		_, err := kv.EncodeCommand(c)
		require.Error(t, err, name)
	}
	m := kv.New()
	data := encode(t, kv.Put{Key: longest, Value: make([]byte, kv.MaxValue)})
	require.LessOrEqual(t, len(data), codec.MaxCommand)
	require.False(t, apply(m, data).Rejected)
	answer := ask(t, m, kv.Get{Key: longest})
	require.Greater(t, len(answer), kv.MaxValue)
	for _, q := range []kv.Query{kv.Get{}, kv.Get{Key: longest + "k"}, kv.Scan{Limit: -1}, kv.Scan{Prefix: "\xff"}, kv.Scan{After: longest + "k"}} {
		_, err := kv.EncodeQuery(q)
		require.Error(t, err, "%+v", q)
	}
}

// What a scan finds is not changed by what is put afterwards, and a value that
// was put does not change with the bytes that were given.
func TestValuesAreCopies(t *testing.T) {
	m := kv.New()
	data := encode(t, kv.Put{Key: "k", Value: []byte("before")})
	apply(m, data)
	a := get(t, m, "k")
	clear(data)
	apply(m, encode(t, kv.Put{Key: "k", Value: []byte("after!")}))
	require.Equal(t, value("before"), a)
	require.Equal(t, value("after!"), get(t, m, "k"))
}

func drawKey(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "a/b", "a/c", "b", "ab", "ü", "z"}).Draw(t, "key")
}

func drawValue(t *rapid.T) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value") }

func drawCommand(t *rapid.T) kv.Command {
	key := drawKey(t)
	switch rapid.IntRange(0, 3).Draw(t, "op") {
	case 0:
		return kv.Delete{Key: key}
	case 1:
		c := kv.CAS{Key: key, OldExists: rapid.Bool().Draw(t, "old"), NewExists: rapid.Bool().Draw(t, "new")}
		if c.OldExists {
			c.Old = drawValue(t)
		}
		if c.NewExists {
			c.New = drawValue(t)
		}
		return c
	default:
		return kv.Put{Key: key, Value: drawValue(t)}
	}
}

func drawQuery(t *rapid.T) kv.Query {
	if rapid.Bool().Draw(t, "get") {
		return kv.Get{Key: drawKey(t)}
	}
	return kv.Scan{
		Prefix:   rapid.SampledFrom([]string{"", "a", "a/", "x"}).Draw(t, "prefix"),
		After:    rapid.SampledFrom([]string{"", "a", "a/b", "c"}).Draw(t, "after"),
		Limit:    rapid.IntRange(0, 4).Draw(t, "limit"),
		KeysOnly: rapid.Bool().Draw(t, "keys only"),
	}
}

func TestConform(t *testing.T) {
	machinetest.Suite{
		Fresh:   func() machine.Machine { return kv.New() },
		Command: func(t *rapid.T) []byte { return encode(t, drawCommand(t)) },
		Query: func(t *rapid.T) []byte {
			data, err := kv.EncodeQuery(drawQuery(t))
			require.NoError(t, err)
			return data
		},
		Same: drawDetour,
	}.Run(t)
}

// drawDetour draws a history of commands, and puts of what is there in the end.
func drawDetour(t *rapid.T) (detour, straight [][]byte) {
	m := kv.New()
	for range rapid.IntRange(0, 30).Draw(t, "commands") {
		data := encode(t, drawCommand(t))
		apply(m, data)
		detour = append(detour, data)
	}
	for _, i := range scan(t, m, kv.Scan{}).Items {
		straight = append(straight, encode(t, kv.Put{Key: i.Key, Value: i.Value}))
	}
	return detour, straight
}

// TestAgainstMap compares the machine with the obvious: a map, sorted when
// scanned.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, model := kv.New(), map[string]string{}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			c := drawCommand(t)
			o := apply(m, encode(t, c))
			if want := modelApply(model, c); o.Rejected || len(o.Data) != 1 || (o.Data[0] == 0xf5) != want {
				t.Fatalf("%+v: %x, rejected %v; want %v", c, o.Data, o.Rejected, want)
			}
			s, ok := drawQuery(t).(kv.Scan)
			if !ok {
				continue
			}
			require.Equal(t, modelScan(model, s), scan(t, m, s), "%+v of %v", s, model)
		}
		require.Equal(t, len(model), m.Len())
	})
}

func modelApply(model map[string]string, c kv.Command) bool {
	switch c := c.(type) {
	case kv.Put:
		_, existed := model[c.Key]
		model[c.Key] = string(c.Value)
		return existed
	case kv.Delete:
		_, existed := model[c.Key]
		delete(model, c.Key)
		return existed
	case kv.CAS:
		now, exists := model[c.Key]
		if exists != c.OldExists || now != string(c.Old) {
			return false
		}
		if delete(model, c.Key); c.NewExists {
			model[c.Key] = string(c.New)
		}
		return true
	}
	panic("unknown command")
}

func modelScan(model map[string]string, s kv.Scan) (a kv.ScanAnswer) {
	for _, k := range slices.Sorted(maps.Keys(model)) {
		if !strings.HasPrefix(k, s.Prefix) || k <= s.After {
			continue
		}
		if s.Limit > 0 && len(a.Items) == s.Limit {
			a.More = true
			return a
		}
		item := kv.Item{Key: k}
		if !s.KeysOnly {
			item.Value = []byte(model[k])
		}
		a.Items = append(a.Items, item)
	}
	return a
}
