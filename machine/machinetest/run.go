package machinetest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// run is one instance and what it said.
type run struct {
	way      string // how the commands are applied, for people
	machine  machine.Machine
	batch    machine.Batch // reused, as a host does
	index    codec.Index
	commands [][]byte
	outcomes []said
	answers  []said
	digests  map[int]codec.Digest // by the number of commands before
}

// said is an outcome or an answer, comparable.
type said struct {
	data   string
	failed bool // rejected, or an error (the text of which does not count)
}

func (s said) String() string {
	if s.failed {
		return "the refusal " + brief([]byte(s.data))
	}
	return brief([]byte(s.data))
}

func newRun(way string, fresh func() machine.Machine) *run {
	return &run{way: way, machine: fresh(), digests: make(map[int]codec.Digest)}
}

// apply applies commands as one batch and notes the outcomes and the digest.
func (r *run) apply(commands [][]byte, gaps []int) error {
	lent := make([][]byte, len(commands))
	r.batch.Reset()
	for i, c := range commands {
		lent[i] = append([]byte{}, c...)
		r.index += codec.Index(1 + gaps[i])
		r.batch.Add(r.index, lent[i])
	}
	if err := r.guard("Apply", func() { r.machine.Apply(&r.batch) }); err != nil {
		return err
	}
	for i, c := range commands {
		if !bytes.Equal(lent[i], c) {
			return fmt.Errorf("the machine changed the bytes of command %d, %s", len(r.outcomes), brief(c))
		}
		scribble(lent[i]) // what it kept of them is worthless now
		o := r.batch.Outcome(i)
		r.outcomes = append(r.outcomes, said{string(o.Data), o.Rejected})
		r.commands = append(r.commands, c)
	}
	return r.note()
}

// checkRejected checks that a command that was rejected by itself changed nothing.
func (r *run) checkRejected() error {
	n := len(r.outcomes)
	before, known := r.digests[n-1]
	if known && r.outcomes[n-1].failed && r.digests[n] != before {
		return fmt.Errorf("command %d of the history, %s, was rejected, and changed the digest from %s to %s",
			n-1, brief(r.commands[n-1]), before.Short(), r.digests[n].Short())
	}
	return nil
}

// note reads the digest, twice.
func (r *run) note() error {
	a, err := r.digest()
	if err != nil {
		return err
	}
	b, err := r.digest()
	if err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("after %d commands, applied %s, the digest read twice is %s and %s", len(r.outcomes), r.way, a.Short(), b.Short())
	}
	r.digests[len(r.outcomes)] = a
	return nil
}

func (r *run) digest() (d codec.Digest, err error) {
	err = r.guard("Digest", func() { d = r.machine.Digest() })
	return d, err
}

// ask asks each query twice, notes the answer and checks that nothing changed.
func (r *run) ask(queries [][]byte) error {
	for _, q := range queries {
		first, err := r.query(q)
		if err != nil {
			return err
		}
		second, err := r.query(q)
		if err != nil {
			return err
		}
		if first != second {
			return fmt.Errorf("the query %s asked twice has the answers %v and %v", brief(q), first, second)
		}
		d, err := r.digest()
		if err != nil {
			return err
		}
		if before := r.digests[len(r.outcomes)]; d != before {
			return fmt.Errorf("the query %s changes the digest from %s to %s", brief(q), before.Short(), d.Short())
		}
		r.answers = append(r.answers, first)
	}
	return nil
}

func (r *run) query(q []byte) (said, error) {
	const before = "what is there before"
	lent := append([]byte{}, q...)
	var answer []byte
	var refused error
	if err := r.guard("Query", func() { answer, refused = r.machine.Query([]byte(before), lent) }); err != nil {
		return said{}, err
	}
	if !bytes.Equal(lent, q) {
		return said{}, fmt.Errorf("the machine changed the bytes of the query %s", brief(q))
	}
	scribble(lent)
	if refused != nil {
		return said{failed: true}, nil
	}
	rest, ok := bytes.CutPrefix(answer, []byte(before))
	if !ok {
		return said{}, fmt.Errorf("the answer of the query %s is not appended to dst", brief(q))
	}
	return said{data: string(rest)}, nil
}

func (r *run) checkSignature() error {
	switch s := r.machine.Signature(); {
	case s == "":
		return errors.New("the signature is empty")
	case len(s) > machine.MaxSignature:
		return fmt.Errorf("the signature has %d bytes, at most %d are allowed", len(s), machine.MaxSignature)
	}
	return nil
}

// guard turns a panic into an error.
func (r *run) guard(what string, call func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s panicked after %d commands, applied %s, at index %d: %v",
				what, len(r.outcomes), r.way, r.batch.Current(), v)
		}
	}()
	call()
	return nil
}

// scribble overwrites bytes that were lent.
func scribble(b []byte) {
	for i := range b {
		b[i] ^= 0xa5
	}
}

// brief is bytes for people.
func brief(b []byte) string {
	if len(b) > 32 {
		return fmt.Sprintf("%x… (%d bytes)", b[:32], len(b))
	}
	return fmt.Sprintf("[%x]", b)
}
