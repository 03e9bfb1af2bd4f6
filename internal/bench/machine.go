package bench

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/kv"
)

// The machines that a bench runs on.
const (
	MachineFold = "fold"
	MachineKV   = "kv"
)

// newMachine makes the machine called name.
func newMachine(name string) (machine.Machine, error) {
	switch name {
	case MachineFold:
		return &fold{}, nil
	case MachineKV:
		return kv.New(), nil
	}
	return nil, fmt.Errorf("unknown machine %q (%s or %s)", name, MachineFold, MachineKV)
}

// fold is a machine that costs next to nothing: a running hash of all commands, 8
// bytes a step. It tells logs apart that differ; it withstands nobody who wants to
// deceive it.
type fold struct {
	sum, commands uint64
}

func (*fold) Signature() string { return "bench-fold/1" }

func (f *fold) Apply(b *machine.Batch) {
	for _, c := range b.Commands() {
		f.sum = foldIn(f.sum, c)
		f.commands++
	}
}

// foldIn chains data to sum. The length goes in, too: no two commands join to the
// same bytes.
func foldIn(sum uint64, data []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	sum = bits.RotateLeft64(sum^uint64(len(data)+1), 29) * odd
	for ; len(data) >= 8; data = data[8:] {
		sum = bits.RotateLeft64(sum^binary.LittleEndian.Uint64(data), 29) * odd
	}
	for _, b := range data {
		sum = bits.RotateLeft64(sum^uint64(b), 29) * odd
	}
	return sum
}

func (f *fold) Query(dst, _ []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, f.sum), nil
}

func (f *fold) Digest() (d codec.Digest) {
	binary.BigEndian.PutUint64(d[:], f.sum)
	binary.BigEndian.PutUint64(d[8:], f.commands)
	return d
}

// observed is a machine of which is known when it got its first command, and how
// many it got. Its queries are not passed on: each answer is that number.
type observed struct {
	machine.Machine
	commands uint64
	first    atomic.Pointer[mark] // nil: none yet

	settle  uint64 // commands after which its rate is looked at; 0: never
	settled atomic.Pointer[mark]
}

// mark is how many commands there were at a time.
type mark struct {
	commands uint64
	at       time.Time
}

func (o *observed) Apply(b *machine.Batch) {
	if o.commands == 0 && b.Len() > 0 {
		o.first.Store(&mark{0, time.Now()})
	}
	o.Machine.Apply(b)
	before := o.commands
	o.commands += uint64(b.Len())
	if before < o.settle && o.commands >= o.settle {
		o.settled.Store(&mark{o.commands, time.Now()})
	}
}

// steady is the rate of commands from settle on, at a time when there were so many; 0
// if it is not known.
func (o *observed) steady(commands uint64, at time.Time) float64 {
	m := o.settled.Load()
	if m == nil || !at.After(m.at) {
		return 0
	}
	return float64(commands-m.commands) / at.Sub(m.at).Seconds()
}

func (o *observed) Query(dst, _ []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, o.commands), nil
}

func observe(name string) (*observed, error) {
	m, err := newMachine(name)
	if err != nil {
		return nil, err
	}
	return &observed{Machine: m}, nil
}
