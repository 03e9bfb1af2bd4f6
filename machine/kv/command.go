package kv

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/logmesh/logmesh/codec"
)

// Limits of keys and values, in bytes.
const (
	MaxKey   = 1024
	MaxValue = 1 << 20
)

// What is wrong with a command. The texts are reasons of rejections, and thereby
// part of the meaning of "kv/1".
var (
	errKey       = errors.New("a key must be 1 to 1024 bytes of UTF-8")
	errValue     = errors.New("a value may have 1048576 bytes at most")
	errOperation = errors.New("unknown operation")
)

// Command is a Put, a Delete or a CAS.
type Command interface {
	command() command
}

// The commands.
type (
	// Put gives a key a value, whatever it had. Its result is a PutResult.
	Put struct {
		Key   string
		Value []byte
	}

	// Delete removes a key, if it is there. Its result is a DeleteResult.
	Delete struct {
		Key string
	}

	// CAS (compare and swap) gives a key the value New if it has the value Old
	// now, and otherwise changes nothing. OldExists false stands for a key that
	// does not exist, NewExists false for removing it. Its result is a CASResult.
	CAS struct {
		Key       string
		Old       []byte
		OldExists bool
		New       []byte
		NewExists bool
	}
)

// Codes of the operations.
const (
	opPut    = 1
	opDelete = 2
	opCAS    = 3
)

// sizes are the lengths of the operations' arrays.
var sizes = [...]uint64{opPut: 3, opDelete: 2, opCAS: 4}

// command is any command, as views of its encoding.
type command struct {
	op         uint64
	key        []byte
	value, old []byte
	hasValue   bool
	hasOld     bool
}

func (c Put) command() command {
	return command{op: opPut, key: []byte(c.Key), value: c.Value, hasValue: true}
}

func (c Delete) command() command { return command{op: opDelete, key: []byte(c.Key)} }

func (c CAS) command() command {
	return command{
		op: opCAS, key: []byte(c.Key),
		value: c.New, hasValue: c.NewExists, old: c.Old, hasOld: c.OldExists,
	}
}

// EncodeCommand is the encoding of c. It fails on what the machine would reject,
// and on a command that is too large for an entry of the log.
func EncodeCommand(c Command) ([]byte, error) {
	raw := c.command()
	if err := raw.check(); err != nil {
		return nil, err
	}
	data := raw.append(make([]byte, 0, pairSize(len(raw.key), len(raw.value))+len(raw.old)+8))
	if len(data) > codec.MaxCommand {
		return nil, fmt.Errorf("a command of %d bytes, at most %d are allowed", len(data), codec.MaxCommand)
	}
	return data, nil
}

func (c command) check() error {
	switch {
	case len(c.key) == 0 || len(c.key) > MaxKey || !utf8.Valid(c.key):
		return errKey
	case len(c.value) > MaxValue || len(c.old) > MaxValue:
		return errValue
	}
	return nil
}

func (c command) append(dst []byte) []byte {
	dst = appendHead(dst, majorArray, sizes[c.op])
	dst = appendHead(dst, majorUint, c.op)
	dst = appendText(dst, c.key)
	if c.op == opCAS {
		dst = appendOptional(dst, c.old, c.hasOld)
	}
	if c.op != opDelete {
		dst = appendOptional(dst, c.value, c.hasValue)
	}
	return dst
}

// DecodeCommand reads what EncodeCommand wrote. Values are copies.
func DecodeCommand(data []byte) (Command, error) {
	c, err := parseCommand(data)
	if err != nil {
		return nil, err
	}
	switch key := string(c.key); c.op {
	case opPut:
		return Put{Key: key, Value: clone(c.value, true)}, nil
	case opDelete:
		return Delete{Key: key}, nil
	default:
		return CAS{
			Key: key,
			Old: clone(c.old, c.hasOld), OldExists: c.hasOld,
			New: clone(c.value, c.hasValue), NewExists: c.hasValue,
		}, nil
	}
}

// clone is a copy of b that is nil only if it does not exist.
func clone(b []byte, exists bool) []byte {
	if !exists {
		return nil
	}
	return append([]byte{}, b...)
}

func parseCommand(data []byte) (c command, err error) {
	r := reader{rest: data}
	size := r.head(majorArray)
	c.op = r.head(majorUint)
	if r.err != nil {
		return command{}, r.err
	}
	if c.op < opPut || c.op > opCAS || size != sizes[c.op] {
		return command{}, errOperation
	}
	c.key = r.key()
	switch c.op {
	case opPut:
		c.value, c.hasValue = r.value(), true
	case opCAS:
		c.old, c.hasOld = r.optional()
		c.value, c.hasValue = r.optional()
	}
	if err := r.end(); err != nil {
		return command{}, err
	}
	return c, nil
}
