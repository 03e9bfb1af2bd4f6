package replay

import (
	"runtime/debug"

	"github.com/zeebo/blake3"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// domainDigest begins the hash input of a Core's digest; 0x00 to 0x02 are
// codec's.
const domainDigest = 0x03

// Reasons with which a Core itself rejects a command.
const (
	reasonWindow   = "too far above the lowest unanswered command of its session"
	reasonAnswered = "a copy of a command that was answered before"
)

// Core is a machine, the client sessions and the applied index. It is not safe
// for concurrent use.
type Core struct {
	machine  machine.Machine
	sessions *table

	applied codec.Index     // every entry up to here has been applied
	fill    codec.BlockFill // of the block that applied stands in
	ends    blockEnds
	broken  *PanicError // set once, by the machine's first panic

	// One batch: the commands that were admitted and wait for the machine. It is
	// empty between calls.
	batch    machine.Batch
	answers  []answer
	admitted codec.Index // applied, once the batch is
	batches  uint64      // counts batches, so that sessions know their own
}

// answer is one Result of the batch, perhaps not known yet.
type answer struct {
	result  Result
	session *session // of a command that waits for the machine; nil: the result is known
	place   int      // its place in the batch
}

// Result is what became of a command.
type Result struct {
	Session codec.SessionID
	Seq     uint64
	Index   codec.Index // where it was decided; for a repeat, where the first copy was
	Data    []byte      // the machine's result, or the reason if Rejected; valid until the callback returns
	// Rejected: the command was decided and changed nothing.
	Rejected bool
	// Answered, with Rejected: the client said that it has this command's answer,
	// which is not kept any more. An earlier copy may have been applied; this one
	// was not.
	Answered bool
	// Expired: its session is not known, so whether an earlier copy of it was
	// applied is not known either. This copy was not.
	Expired bool
	// Nonce is set when the command opened a session, and is the client's; Session
	// is then the new session's id.
	Nonce []byte
}

// New makes a Core of a machine in its initial state, before the first entry.
func New(m machine.Machine) *Core {
	return &Core{machine: m, sessions: newTable(standard), batches: 1}
}

// Applied is the index of the last entry that was applied, 0 before the first.
func (c *Core) Applied() codec.Index { return c.applied }

// Err is the machine's panic that made the Core unusable, a *PanicError, or nil.
func (c *Core) Err() error {
	if c.broken == nil {
		return nil
	}
	return c.broken
}

// Apply applies entries, which must follow the applied index without a gap, and
// hands the result of each command to out (unless that is nil), in the order of
// the log. The entries' data is not kept.
//
// Entries that are no commands, and commands whose envelope is malformed, move
// the applied index and nothing else. Errors are *GapError, with nothing
// applied, and *PanicError, after which the Core is unusable.
func (c *Core) Apply(entries []codec.Entry, out func(Result)) error {
	if c.broken != nil {
		return c.broken
	}
	for i := range entries {
		if want := c.applied + 1 + codec.Index(i); entries[i].Index != want {
			return &GapError{Want: want, Got: entries[i].Index}
		}
	}
	for i := range entries {
		if err := c.entry(&entries[i], out); err != nil {
			return err
		}
	}
	return c.flush(out)
}

// entry admits one entry to the batch, and ends the batch with the block.
func (c *Core) entry(e *codec.Entry, out func(Result)) error {
	if e.Kind == codec.KindCommand {
		if command, err := codec.DecodeCommand(e.Data); err == nil {
			if err := c.command(e.Index, command, out); err != nil {
				return err
			}
		}
	}
	c.admitted = e.Index
	if !c.fill.Add(len(e.Data)) {
		return nil
	}
	if err := c.flush(out); err != nil {
		return err
	}
	return c.endBlock()
}

// command decides by the rules of client sessions whether a command goes to the
// machine.
func (c *Core) command(i codec.Index, command codec.Command, out func(Result)) error {
	if command.Opens() {
		return c.open(i, command.Payload, out)
	}
	r := Result{Session: command.Session, Seq: command.Seq, Index: i}
	s := c.sessions.touch(command.Session, i)
	if s == nil {
		r.Expired = true
		c.known(r)
		return nil
	}
	c.sessions.acknowledge(s, command.Low)
	if c.waits(s, command.Seq) {
		if err := c.flush(out); err != nil {
			return err
		}
	}
	first, kept := s.outcome(command.Seq)
	switch {
	case kept:
		r.Index, r.Data, r.Rejected = first.index, first.data, first.rejected
		c.known(r)
	case command.Seq < s.low:
		r.Answered = true
		c.rejected(r, reasonAnswered)
	case command.Seq-command.Low > Window:
		c.rejected(r, reasonWindow)
	default:
		c.wait(s, r, command.Payload)
	}
	return nil
}

// open opens a session. The batch goes first when a session must make room:
// that one may have commands in it.
func (c *Core) open(i codec.Index, nonce []byte, out func(Result)) error {
	if c.sessions.full() {
		if err := c.flush(out); err != nil {
			return err
		}
	}
	s := c.sessions.open(i)
	c.known(Result{Session: s.id, Index: i, Nonce: nonce})
	return nil
}

func (c *Core) known(r Result) { c.answers = append(c.answers, answer{result: r}) }

func (c *Core) rejected(r Result, reason string) {
	r.Data, r.Rejected = []byte(reason), true
	c.known(r)
}

// wait puts a command into the batch.
func (c *Core) wait(s *session, r Result, payload []byte) {
	if s.batch != c.batches {
		s.batch, s.top = c.batches, 0
	}
	s.top = max(s.top, r.Seq)
	c.answers = append(c.answers, answer{result: r, session: s, place: c.batch.Len()})
	c.batch.Add(r.Index, payload)
}

// waits reports whether a command of s with that sequence number is in the batch.
func (c *Core) waits(s *session, seq uint64) bool {
	if s.batch != c.batches || seq > s.top {
		return false // the usual case: sequence numbers rise
	}
	for i := range c.answers {
		if c.answers[i].session == s && c.answers[i].result.Seq == seq {
			return true
		}
	}
	return false
}

// flush applies the batch, keeps the outcomes and gives out the results.
func (c *Core) flush(out func(Result)) error {
	if c.batch.Len() > 0 {
		if err := c.guard("apply", func() { c.machine.Apply(&c.batch) }); err != nil {
			return err
		}
	}
	for i := range c.answers {
		a := &c.answers[i]
		if a.session != nil {
			o := c.batch.Outcome(a.place)
			a.result.Data, a.result.Rejected = o.Data, o.Rejected
			c.sessions.keep(a.session, a.result)
		}
	}
	c.applied = max(c.applied, c.admitted)
	if out != nil {
		for i := range c.answers {
			out(c.answers[i].result)
		}
	}
	clear(c.answers)
	c.answers = c.answers[:0]
	c.batch.Reset()
	c.batches++
	return nil
}

// endBlock does what is due after a block's last entry.
func (c *Core) endBlock() error {
	c.sessions.shrink()
	d, err := c.digest()
	if err != nil {
		return err
	}
	c.ends.add(c.applied, d)
	return nil
}

// Query answers a question about the state at the applied index: the answer is
// appended to dst. An error is the machine's, or a *PanicError, after which the
// Core is unusable.
func (c *Core) Query(dst, query []byte) (answer []byte, err error) {
	if c.broken != nil {
		return dst, c.broken
	}
	var failed error
	if err := c.guard("query", func() { answer, failed = c.machine.Query(dst, query) }); err != nil {
		return dst, err
	}
	if failed != nil {
		return dst, failed
	}
	return answer, nil
}

// Digest is the digest of machine and sessions at the applied index. It is zero
// when the machine panicked; Err says so.
func (c *Core) Digest() codec.Digest {
	d, err := c.digest()
	if err != nil {
		return codec.Digest{}
	}
	return d
}

func (c *Core) digest() (codec.Digest, error) {
	if c.broken != nil {
		return codec.Digest{}, c.broken
	}
	var state codec.Digest
	if err := c.guard("digest", func() { state = c.machine.Digest() }); err != nil {
		return codec.Digest{}, err
	}
	sessions := c.sessions.digest()
	var in [1 + 2*len(codec.Digest{})]byte
	in[0] = domainDigest
	copy(in[1:], state[:])
	copy(in[1+len(state):], sessions[:])
	return blake3.Sum256(in[:]), nil
}

// guard calls the machine, and turns its panic into an error.
func (c *Core) guard(during string, call func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			index := c.applied
			if during == "apply" {
				index = c.batch.Current()
			}
			c.broken = &PanicError{Index: index, During: during, Value: v, Stack: debug.Stack()}
			err = c.broken
		}
	}()
	call()
	return nil
}
