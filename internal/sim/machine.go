package sim

import (
	"encoding/binary"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/kv"
)

// machineUnderTest is the key-value machine, which also counts how often it is
// given each command: every value that clients write begins with a number that
// no other command has.
type machineUnderTest struct {
	*kv.KV
	m    *member
	seen map[uint64]codec.Index
}

func newMachine(m *member) *machineUnderTest {
	return &machineUnderTest{KV: kv.New(), m: m, seen: map[uint64]codec.Index{}}
}

// Apply counts the commands and applies them.
func (x *machineUnderTest) Apply(b *machine.Batch) {
	for _, command := range b.Commands() {
		i := b.Index()
		if id := idOf(command); id != 0 {
			if first := x.seen[id]; first != 0 {
				x.m.w.violate("a command was applied twice", "member %d: command %d at indexes %d and %d", x.m.number, id, first, i)
			}
			x.seen[id] = i
		}
	}
	x.KV.Apply(b)
}

// valueOf is a value with the number of its command in it.
func valueOf(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte("#"), id) }

// idOf is the number of a command: that of the value at its end, 0 if it writes
// none.
func idOf(command []byte) uint64 {
	const size = 1 + 8
	if n := len(command); n > size && command[n-size] == '#' {
		return binary.BigEndian.Uint64(command[n-8:])
	}
	return 0
}
