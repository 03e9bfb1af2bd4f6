// Package machine is the contract between a replicated log and what it is
// replayed into: a deterministic state machine. Every member applies the same
// commands in the same order to its own Machine, and therefore holds the same
// state and gives the same answers.
//
// # Writing one
//
// Begin with the typed layer. A user writes four methods over Go types of their
// own, Typed; FromTyped makes a Machine of it, with CBOR in and out. Package
// counter is the smallest whole example. Where speed matters, implement Machine
// itself, over bytes and batches; package kv does.
//
//	func (m *Fold) Apply(b *machine.Batch) {
//		for _, command := range b.Commands() {
//			if len(command) == 0 {
//				b.Reject("an empty command") // decided, and nothing was changed
//				continue
//			}
//			m.sum = fold(m.sum, command)
//			b.Result(m.sum[:])
//		}
//	}
//
// # Determinism
//
// The state after a command, its result and its rejection may depend on the
// state before it, on the command's bytes and on its index: on nothing else.
// Whatever else gets in makes the members differ, and the digests will say so.
// In particular:
//
//   - No clock. A command that needs the time carries it, put there by whoever
//     sent it.
//   - No random source. A command carries its random bytes, or a seed.
//   - No map order. A range over a Go map that reaches the state, a result, a
//     reason or the digest must be sorted first, or must not mind the order, as
//     MultisetHash does not.
//   - No environment: no file, network, variable of the process, host name,
//     number of cores, or pointer value. No goroutine whose timing shows.
//   - No floating point whose last bit matters: processors may fuse operations.
//   - No batch. How commands are cut into batches differs from member to member,
//     and from one start to the next; state and results must not show it.
//   - No text that changes with a library's version in a result or a reason:
//     what is answered is remembered, and is part of the digest.
//   - No memory of failure. A rejected command leaves the state as it was: check
//     first, then change.
//
// A change of any of this for a log that exists is another machine: give it
// another Signature, or members of both kinds will disagree.
//
// # Commands come from anywhere
//
// A member of the group, or a client that it trusts, chooses a command's bytes.
// Bytes that make no sense are rejected with Batch.Reject. A panic is caught,
// reported with the index of the command, and stops the group on this member;
// since every member would panic at the same command, it stops the whole group.
//
// # Results and limits
//
// A command has one outcome: a result, or a rejection with a reason. Both are
// kept with the client's session, so that a command that was sent twice is
// applied once and answered alike. A result holds at most MaxResult bytes, a
// reason at most MaxReason; a larger result is turned into a rejection, on every
// member alike, but the state has changed by then: a machine keeps within the
// limit by checking first.
//
// # Digest
//
// Digest is a hash of the whole state and of nothing but the state: two
// histories that lead to equal states have equal digests. Members compare it to
// find out that they diverged. It is read after every block, so it should cost
// little: keep it up to date with each change. MultisetHash does that for any
// state that is a set of things.
//
// # Testing one
//
// machinetest.Conform runs the rules above against any machine, with random
// commands, cut into random batches, on several instances.
package machine
