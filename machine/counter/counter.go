// Package counter is the smallest useful machine, written over Go types: named
// counters that never go below zero, say how many of a thing are left. It shows
// all that a machine.Typed needs.
package counter

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// The four types that travel: a command and its result, a query and its answer.
// The numbers in the tags are what is kept in the log, instead of the names.
type (
	// Add adds By, which may be negative, to the counter Name. It is rejected
	// when the counter would go below zero.
	Add struct {
		Name string `cbor:"1,keyasint"`
		By   int64  `cbor:"2,keyasint"`
	}

	// Value is what a counter stands at after an Add.
	Value struct {
		Value int64 `cbor:"1,keyasint"`
	}

	// Read asks for the counter Name.
	Read struct {
		Name string `cbor:"1,keyasint"`
	}

	// Reading is what a counter stands at; one that nobody added to is at 0.
	Reading struct {
		Value int64 `cbor:"1,keyasint"`
	}
)

// MaxName is the most that a counter's name may hold, in bytes.
const MaxName = 256

// Why an Add is rejected.
var (
	ErrName  = errors.New("a name must have 1 to 256 bytes")
	ErrBelow = errors.New("the counter would go below zero")
	ErrAbove = errors.New("the counter would go above its greatest value")
)

// Counters is the machine, a machine.Typed[Add, Value, Read, Reading].
type Counters struct {
	values map[string]int64
	sum    machine.MultisetHash // of every counter that is not 0
}

// New is Counters that are all 0.
func New() *Counters { return &Counters{values: make(map[string]int64)} }

// Machine is New as a machine.Machine.
func Machine() machine.Machine { return machine.FromTyped(New()) }

// Signature is the name and version of what commands mean.
func (*Counters) Signature() string { return "counter/1" }

// Apply looks first and changes then: an Add that is rejected leaves no trace.
func (c *Counters) Apply(_ codec.Index, add Add) (Value, error) {
	now := c.values[add.Name]
	switch {
	case add.Name == "" || len(add.Name) > MaxName:
		return Value{}, ErrName
	case add.By < 0 && now+add.By < 0:
		return Value{}, ErrBelow
	case add.By > math.MaxInt64-now:
		return Value{}, ErrAbove
	}
	c.set(add.Name, now+add.By)
	return Value{Value: now + add.By}, nil
}

// set keeps the digest up to date with the change. A counter at 0 is the same
// state as one that nobody added to, so it must have the same digest: none.
func (c *Counters) set(name string, value int64) {
	if old := c.values[name]; old != 0 {
		c.sum.Remove(element(name, old))
	}
	if value == 0 {
		delete(c.values, name)
		return
	}
	c.values[name] = value
	c.sum.Add(element(name, value))
}

// element is one counter as bytes: the number has a fixed length, so no two
// counters have the same.
func element(name string, value int64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(value)), name...)
}

// Query reads a counter.
func (c *Counters) Query(read Read) (Reading, error) {
	return Reading{Value: c.values[read.Name]}, nil
}

// Digest is a hash of all counters. It costs nothing: set did the work.
func (c *Counters) Digest() codec.Digest { return c.sum.Sum() }
