package codec

import (
	"errors"
	"fmt"
)

// SessionID names a client session: it is the index of the entry that opened
// it. 0 means none.
type SessionID uint64

// Limits of commands and client sessions, part of the meaning of the log.
const (
	// MaxCommand is the most that a command's payload may hold, in bytes.
	MaxCommand = MaxEntryData - 64
	// OpenNonce is the length of the nonce that opens a session, in bytes.
	OpenNonce = 16
)

// Command is what a command entry's data holds. A command with Session 0 opens
// a client session: its payload is a nonce of OpenNonce bytes, Seq and Low are
// 0, and the session's id is the entry's index.
type Command struct {
	Session SessionID
	Seq     uint64 // counts from 1 within the session
	Low     uint64 // the lowest sequence number that the client has no answer to; ≤ Seq
	Payload []byte
}

// Opens reports whether the command opens a session.
func (c Command) Opens() bool { return c.Session == 0 }

// ErrCommand is wrapped by every error of DecodeCommand.
var ErrCommand = errors.New("bad command envelope")

// AppendCommand appends the envelope [session, seq, low, payload] to dst.
func AppendCommand(dst []byte, c Command) []byte {
	dst = appendCBORHead(dst, cborArray, 4)
	dst = appendCBORHead(dst, cborUint, uint64(c.Session))
	dst = appendCBORHead(dst, cborUint, c.Seq)
	dst = appendCBORHead(dst, cborUint, c.Low)
	dst = appendCBORHead(dst, cborBytes, uint64(len(c.Payload)))
	return append(dst, c.Payload...)
}

// DecodeCommand reads an envelope. The payload is a view of data. Errors wrap
// ErrCommand.
func DecodeCommand(data []byte) (Command, error) {
	r := cborReader{rest: data}
	r.expect(cborArray, 4)
	c := Command{Session: SessionID(r.uint()), Seq: r.uint(), Low: r.uint()}
	c.Payload = r.bytes(MaxCommand)
	if r.err == nil && len(r.rest) != 0 {
		r.fail(fmt.Errorf("%d bytes after the end", len(r.rest)))
	}
	if r.err == nil {
		r.err = c.check()
	}
	if r.err != nil {
		return Command{}, fmt.Errorf("%w: %w", ErrCommand, r.err)
	}
	return c, nil
}

func (c Command) check() error {
	switch {
	case c.Opens() && (c.Seq != 0 || c.Low != 0 || len(c.Payload) != OpenNonce):
		return fmt.Errorf("opening a session takes a nonce of %d bytes and no sequence number", OpenNonce)
	case !c.Opens() && (c.Low == 0 || c.Low > c.Seq):
		return fmt.Errorf("sequence number %d with %d the lowest unanswered", c.Seq, c.Low)
	}
	return nil
}
