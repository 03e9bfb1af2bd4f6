package machine

import (
	"fmt"
	"iter"
	"strings"

	"github.com/logmesh/logmesh/codec"
)

// Batch is consecutive commands on their way into a Machine, and their outcomes
// on the way back. A batch is used again and again: after some use it costs no
// allocation per command.
//
// A Machine ranges over Commands and calls Result or Reject for the current
// one. A command for which it calls neither has an empty result; of several
// calls the last counts.
//
// A host calls Reset, Add for each command, hands the batch to Machine.Apply and
// reads each Outcome. The zero value is an empty batch.
type Batch struct {
	commands []pending
	outcomes []outcome
	arena    []byte // results and reasons, one after the other
	current  int    // position of the current command; 0 before the first
	ranging  bool   // Commands is being ranged over
}

type pending struct {
	index   codec.Index
	command []byte // the host's
}

type outcome struct {
	from, to int // place in the arena
	rejected bool
}

// Outcome is what became of a command.
type Outcome struct {
	Data     []byte // the result, or the reason if Rejected
	Rejected bool
}

// arenaKept is how much memory for outcomes a batch keeps for its next use.
const arenaKept = 1 << 20

// Reset empties the batch.
func (b *Batch) Reset() {
	clear(b.commands) // lets go of the host's bytes
	b.commands, b.outcomes, b.arena = b.commands[:0], b.outcomes[:0], b.arena[:0]
	b.current, b.ranging = 0, false
	if cap(b.arena) > arenaKept {
		b.arena = nil
	}
}

// Add appends the command at index i. The bytes are not copied: they must not
// change until the batch has been applied.
func (b *Batch) Add(i codec.Index, command []byte) {
	b.commands = append(b.commands, pending{index: i, command: command})
	b.outcomes = append(b.outcomes, outcome{})
}

// Len is the number of commands.
func (b *Batch) Len() int { return len(b.commands) }

// Outcome is what became of the command at position i, from 0. Its data is
// valid until the next Reset.
func (b *Batch) Outcome(i int) Outcome {
	o := b.outcomes[i]
	return Outcome{Data: b.arena[o.from:o.to:o.to], Rejected: o.rejected}
}

// Commands ranges over the commands in order, with their positions from 0. The
// command that the loop stands at is the current one.
func (b *Batch) Commands() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		b.ranging = true
		for i := range b.commands {
			b.current = i
			if !yield(i, b.commands[i].command) {
				break
			}
		}
		b.ranging = false
	}
}

// Index is the index in the log of the current command.
func (b *Batch) Index() codec.Index { return b.Current() }

// Current is the index in the log of the command that is being applied: the
// first one before the machine began, the last one that it came to afterwards,
// 0 if the batch is empty. After a panic it says where it happened.
func (b *Batch) Current() codec.Index {
	if len(b.commands) == 0 {
		return 0
	}
	return b.commands[b.current].index
}

// Result gives the current command its result, which is copied. More than
// MaxResult bytes become a rejection that says so.
func (b *Batch) Result(data []byte) {
	if len(data) > MaxResult {
		b.Reject(fmt.Sprintf("result of %d bytes, at most %d are allowed", len(data), MaxResult))
		return
	}
	o := b.begin(false)
	b.arena = append(b.arena, data...)
	o.to = len(b.arena)
}

// Reject says that the current command is refused and changed nothing. The
// reason is for people; it is part of what members agree on. What is not UTF-8
// in it is replaced, and it is cut after MaxReason bytes.
func (b *Batch) Reject(reason string) {
	reason = cut(strings.ToValidUTF8(reason, "\uFFFD"), MaxReason)
	o := b.begin(true)
	b.arena = append(b.arena, reason...)
	o.to = len(b.arena)
}

// begin starts the outcome of the current command at the end of the arena.
func (b *Batch) begin(rejected bool) *outcome {
	if !b.ranging {
		panic("machine: Result or Reject outside of a range over Batch.Commands")
	}
	o := &b.outcomes[b.current]
	if o.to == len(b.arena) {
		b.arena = b.arena[:o.from] // the same command's, given again
	}
	*o = outcome{from: len(b.arena), rejected: rejected}
	return o
}

// cut shortens valid UTF-8 to at most limit bytes, at the end of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}
