package counter_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/counter"
	"github.com/logmesh/logmesh/machine/machinetest"
)

// A host drives the machine with batches of encoded commands; logmesh is one.
func Example() {
	m := counter.Machine()

	var batch machine.Batch
	for i, add := range []counter.Add{{"tickets", 3}, {"tickets", -2}, {"tickets", -2}} {
		command, _ := machine.EncodeTyped(add)
		batch.Add(codec.Index(1+i), command)
	}
	m.Apply(&batch)

	for i := range batch.Len() {
		outcome := batch.Outcome(i)
		if outcome.Rejected {
			fmt.Println("rejected:", string(outcome.Data))
			continue
		}
		var left counter.Value
		_ = machine.DecodeTyped(outcome.Data, &left)
		fmt.Println("left:", left.Value)
	}

	// Output:
	// left: 3
	// left: 1
	// rejected: the counter would go below zero
}

func TestApply(t *testing.T) {
	c := counter.New()
	long := string(make([]byte, counter.MaxName+1))
	tests := []struct {
		add  counter.Add
		want int64 // the counter afterwards
		err  error
	}{
		{counter.Add{Name: "a", By: 5}, 5, nil},
		{counter.Add{Name: "a", By: -5}, 0, nil},
		{counter.Add{Name: "a", By: -1}, 0, counter.ErrBelow},
		{counter.Add{Name: "a", By: math.MinInt64}, 0, counter.ErrBelow},
		{counter.Add{Name: "a", By: math.MaxInt64}, math.MaxInt64, nil},
		{counter.Add{Name: "a", By: 1}, math.MaxInt64, counter.ErrAbove},
		{counter.Add{Name: "a", By: 0}, math.MaxInt64, nil},
		{counter.Add{Name: "a", By: math.MinInt64}, math.MaxInt64, counter.ErrBelow},
		{counter.Add{Name: "", By: 1}, 0, counter.ErrName},
		{counter.Add{Name: long, By: 1}, 0, counter.ErrName},
	}
	for i, test := range tests {
		got, err := c.Apply(1, test.add)
		if !errors.Is(err, test.err) || err == nil && got.Value != test.want {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
		if now, _ := c.Query(counter.Read{Name: test.add.Name}); now.Value != test.want {
			t.Errorf("%d: the counter is at %d, not at %d", i, now.Value, test.want)
		}
	}
}

func TestConform(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	encode := func(t *rapid.T, v any) []byte {
		data, err := machine.EncodeTyped(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	machinetest.Suite{
		Fresh: counter.Machine,
		Command: func(t *rapid.T) []byte {
			return encode(t, counter.Add{Name: name.Draw(t, "name"), By: rapid.Int64Range(-9, 9).Draw(t, "by")})
		},
		Query: func(t *rapid.T) []byte { return encode(t, counter.Read{Name: name.Draw(t, "name")}) },
		Same: func(t *rapid.T) (detour, straight [][]byte) {
			left := rapid.Int64Range(0, 3).Draw(t, "left")
			spent := rapid.Int64Range(0, 3).Draw(t, "spent")
			detour = append(detour, encode(t, counter.Add{Name: "a", By: left + spent}), encode(t, counter.Add{Name: "a", By: -spent}))
			return detour, append(straight, encode(t, counter.Add{Name: "a", By: left}))
		},
	}.Run(t)
}
