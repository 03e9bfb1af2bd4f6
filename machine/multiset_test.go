package machine

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
)

func TestMultisetHashForgetsTheWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		elements := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 3)).Draw(t, "elements")
		var straight, detour MultisetHash
		for _, e := range elements {
			straight.Add(e)
		}
		extra := rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "extra")
		detour.Remove(extra) // below zero for a moment
		for _, e := range rapid.Permutation(elements).Draw(t, "order") {
			detour.AddHash(ElementHash(e))
		}
		if straight.Sum() == detour.Sum() {
			t.Fatal("an element less makes no difference")
		}
		detour.Add(extra)
		if straight.Sum() != detour.Sum() {
			t.Fatal("the way makes a difference")
		}
		for _, e := range elements {
			straight.Remove(e)
		}
		if !straight.Sum().IsZero() {
			t.Fatal("the empty multiset is not zero")
		}
	})
}

func TestMultisetHashCounts(t *testing.T) {
	var once, twice MultisetHash
	once.Add([]byte("x"))
	twice.Add([]byte("x"))
	twice.Add([]byte("x"))
	if once.Sum() == twice.Sum() || once.Sum() != ElementHash([]byte("x")) {
		t.Errorf("once %v, twice %v", once.Sum(), twice.Sum())
	}
}

// The sum carries from limb to limb, and is kept modulo 2^256.
func TestMultisetHashCarries(t *testing.T) {
	var all, one codec.Hash
	for i := range all {
		all[i] = 0xff
	}
	one[0] = 1
	var m MultisetHash
	m.AddHash(all)
	m.AddHash(one)
	if !m.Sum().IsZero() {
		t.Errorf("2^256 - 1 + 1 = %v", m.Sum())
	}
	m.RemoveHash(one)
	if m.Sum() != all {
		t.Errorf("0 - 1 = %v", m.Sum())
	}
}
