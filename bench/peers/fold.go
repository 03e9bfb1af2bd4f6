package main

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"time"
)

// fold is the state machine of every row: a running hash of all commands, 8 bytes
// a step. It costs next to nothing, and two folds are equal only if all commands
// came, in order.
type fold struct {
	want    uint64 // commands until done is closed
	done    chan struct{}
	failed  chan error // holds the first failure
	applied atomic.Uint64
	first   atomic.Pointer[time.Time] // when the first command came; nil: none yet

	state uint64 // owned by who applies, until done is closed
}

func newFold(want uint64) *fold {
	return &fold{want: want, done: make(chan struct{}), failed: make(chan error, 1)}
}

// apply takes the next command.
func (f *fold) apply(command []byte) {
	f.state = foldIn(f.state, command)
	switch f.applied.Add(1) {
	case 1:
		now := time.Now()
		f.first.Store(&now)
	case f.want:
		close(f.done)
	}
}

// fail says that there will be no more.
func (f *fold) fail(err error) {
	select {
	case f.failed <- err:
	default: // one is enough
	}
}

// foldIn chains data to sum, its length included.
func foldIn(sum uint64, data []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	sum = bits.RotateLeft64(sum^uint64(len(data)), 29) * odd
	for ; len(data) >= 8; data = data[8:] {
		sum = bits.RotateLeft64(sum^binary.LittleEndian.Uint64(data), 29) * odd
	}
	for _, b := range data {
		sum = bits.RotateLeft64(sum^uint64(b), 29) * odd
	}
	return sum
}

// foldOf is the state after all of w.
func foldOf(w work) uint64 {
	f := newFold(w.Entries)
	command := make([]byte, w.Size)
	for i := range w.Entries {
		w.command(command, i+1)
		f.apply(command)
	}
	return f.state
}
