package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// work is what every row does: a follower that holds nothing takes a log of so
// many entries and applies all of them.
type work struct {
	Entries uint64
	Size    int // bytes of a command; at least 8
}

// batch is how many entries are made, and put into a store, at a time.
const batch = 4096

// command writes the command of entry i, Size bytes, into dst. They are random,
// so that compression gains nothing, and the same in every process.
func (w work) command(dst []byte, i uint64) {
	source := rand.NewPCG(i, uint64(w.Size))
	for len(dst) >= 8 {
		binary.LittleEndian.PutUint64(dst, source.Uint64())
		dst = dst[8:]
	}
	if len(dst) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], source.Uint64())
		copy(dst, last[:])
	}
}

// batches calls put with the commands from, from+1, … of the entries 1 to
// Entries, in order. Put may keep them.
func (w work) batches(put func(from uint64, commands [][]byte) error) error {
	for from := uint64(1); from <= w.Entries; from += batch {
		n := min(batch, w.Entries-from+1)
		space := make([]byte, int(n)*w.Size)
		commands := make([][]byte, n)
		for i := range commands {
			commands[i], space = space[:w.Size:w.Size], space[w.Size:]
			w.command(commands[i], from+uint64(i))
		}
		if err := put(from, commands); err != nil {
			return err
		}
	}
	return nil
}
