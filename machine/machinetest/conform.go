// Package machinetest checks that a machine keeps the contract of package
// machine: that its state, its outcomes and its digest follow from the commands
// alone.
//
//	func TestConform(t *testing.T) {
//		machinetest.Conform(t, fold.New, func(t *rapid.T) []byte {
//			return rapid.SliceOf(rapid.Byte()).Draw(t, "command")
//		})
//	}
//
// Random commands, some of them garbage, are applied to several new instances:
// one by one, in one batch, and in random batches with queries in between. The
// instances must agree on every outcome, on the digest wherever two of them stop
// at the same command, and on the answers of queries. On the way it is checked
// that the machine neither keeps nor changes bytes that are not its own, and
// that Query, Digest and a rejected command change nothing.
//
// What depends on chance, such as the order of a map, is found by chance too:
// commands that make the state rich find more.
package machinetest

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/machine"
)

// Conform checks the machines that fresh makes, which must be in their initial
// state. command draws a command that is usually well-formed; garbage is added
// by itself. Queries are arbitrary bytes; a Suite can do better.
func Conform(t *testing.T, fresh func() machine.Machine, command func(*rapid.T) []byte) {
	t.Helper()
	Suite{Fresh: fresh, Command: command}.Run(t)
}

// Suite is what Run needs to know of a machine. Fresh and Command are required.
type Suite struct {
	// Fresh makes a machine in its initial state.
	Fresh func() machine.Machine
	// Command draws a command that is usually well-formed.
	Command func(*rapid.T) []byte
	// Query draws a query that is usually well-formed; nil: arbitrary bytes.
	Query func(*rapid.T) []byte
	// Same draws two histories that lead to the same state, for example a detour
	// and the straight way; their digests must be equal. nil: not checked. Every
	// command is applied at the same index in both, 1: a state that holds indexes
	// holds equal ones.
	Same func(*rapid.T) (a, b [][]byte)
}

// Run checks the machine. A *testing.T is a rapid.TB.
func (s Suite) Run(t rapid.TB) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		if err := s.draw(t).check(s.Fresh); err != nil {
			t.Fatalf("%v", err)
		}
		if s.Same == nil {
			return
		}
		a, b := s.Same(t)
		if err := checkSame(s.Fresh, a, b); err != nil {
			t.Fatalf("%v", err)
		}
	})
}

// most is the greatest number of commands in one check.
const most = 48

func (s Suite) draw(t *rapid.T) trial {
	query := s.Query
	if query == nil {
		query = garbage
	}
	tr := trial{queries: [][]byte{{}}} // nothing at all is garbage that is often forgotten
	n := rapid.IntRange(0, most).Draw(t, "commands")
	for range n {
		tr.commands = append(tr.commands, usually(t, s.Command))
		tr.gaps = append(tr.gaps, rapid.IntRange(0, 2).Draw(t, "gap"))
	}
	for range rapid.IntRange(0, 4).Draw(t, "queries") {
		tr.queries = append(tr.queries, usually(t, query))
	}
	for left := n; left > 0; {
		size := rapid.IntRange(1, left).Draw(t, "batch")
		tr.batches = append(tr.batches, size)
		left -= size
	}
	return tr
}

// usually draws from g, and sometimes garbage.
func usually(t *rapid.T, g func(*rapid.T) []byte) []byte {
	if rapid.IntRange(0, 9).Draw(t, "kind") == 9 {
		return garbage(t)
	}
	data := g(t)
	if len(data) > 0 && rapid.IntRange(0, 19).Draw(t, "kind") == 19 {
		data = append([]byte(nil), data...)
		data[rapid.IntRange(0, len(data)-1).Draw(t, "place")] ^= rapid.Byte().Draw(t, "flip")
	}
	return data
}

func garbage(t *rapid.T) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 24).Draw(t, "garbage") }
