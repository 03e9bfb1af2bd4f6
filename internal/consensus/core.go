package consensus

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// Core is one member's consensus. One goroutine at a time may call it.
//
// What is always true:
//   - next holds all work that the library gave and nobody took; out is the
//     Ready that was taken and not advanced.
//   - members is the configuration at applied.
//   - everything in leadership belongs to the present leadership, and is zero
//     on a member that does not lead.
type Core struct {
	// Set once.
	cfg    Config
	rn     *raft.RawNode
	store  *storage
	logger *slog.Logger

	now     uint64 // ticks since Open
	members codec.Configuration
	applied codec.Index
	next    batch
	out     *batch
	failed  error

	// As the library last said.
	state  raft.StateType
	lead   codec.RaftID
	term   codec.Term
	commit codec.Index

	held    *held // the MsgSnap that waits for the ledger
	unpause unpause
	reads   reads
	pace    pace
	behind  codec.Index // entries by which our own machine trails commit
	leadership
}

// Open starts a Core on what the ledger holds: a founded log, a log at an
// adopted cursor, or an empty one.
func Open(cfg Config) (_ *Core, err error) {
	cfg.defaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg, logger: cfg.Logger, members: cfg.Members, applied: cfg.Applied}
	c.store = &storage{log: cfg.Log, hard: cfg.Hard, members: cfg.Members, snapshot: c.makeSnapshot}
	c.pace = newPace(cfg.ticks(machineLag))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("open raft: %w", c.broken(v))
		}
	}()
	if c.rn, err = raft.NewRawNode(cfg.raft(c.store)); err != nil {
		return nil, fmt.Errorf("open raft: %w", err)
	}
	c.observe()
	return c, c.input(func() error { return nil })
}

// input runs one event: f, then all that follows from it. A panic of the
// library ends the Core with a *BrokenError.
func (c *Core) input(f func() error) (err error) {
	if c.failed != nil {
		return c.failed
	}
	defer func() {
		if v := recover(); v != nil {
			err = c.broken(v)
		}
	}()
	if err := f(); err != nil {
		return c.sort(err)
	}
	return c.sort(c.settle())
}

// settle takes the work and acts on what changed, until nothing does.
func (c *Core) settle() error {
	for {
		if err := c.drain(); err != nil {
			return err
		}
		c.observe()
		c.takeBack()
		if !c.fillBlock() {
			return nil
		}
	}
}

// sort keeps errors after which the Core cannot go on.
func (c *Core) sort(err error) error {
	var divergence *DivergenceError
	var lost *LostEntriesError
	if errors.Is(err, errChange) || errors.As(err, &divergence) || errors.As(err, &lost) {
		c.failed = err
	}
	return err
}

func (c *Core) broken(v any) error {
	c.failed = &BrokenError{Value: v, Cause: c.store.failed, Stack: debug.Stack()}
	return c.failed
}

// Failed is the error that ended the Core, or nil.
func (c *Core) Failed() error { return c.failed }

// observe learns what the library's state is now, and begins or ends a
// leadership. All work was drained before, so that last is the log's end.
func (c *Core) observe() {
	st := c.rn.BasicStatus()
	led, term := c.leading(), c.term
	c.state, c.lead = st.RaftState, codec.RaftID(st.Lead)
	c.term, c.commit = codec.Term(st.GetTerm()), codec.Index(st.GetCommit())
	if led && (!c.leading() || c.term != term) {
		c.dropReads()
		c.leadership = leadership{}
	}
	if c.leading() && c.peers == nil {
		c.leadership = newLeadership(c.now)
		// Nothing of an earlier leader's may be pending when a configuration is
		// proposed: wait for everything in the log, our own no-op included.
		c.pendingConfig = c.last()
	}
}

func (c *Core) leading() bool { return c.state == raft.StateLeader }

// settled reports whether this leader committed an entry of its own term: only
// then is its commit index known to be the newest (thesis, section 6.4).
func (c *Core) settled() bool {
	t, ok := c.termAt(c.commit)
	return c.leading() && ok && t == c.term
}

// Tick is the passing of Config.Tick. What may end the Core in it is told by
// Failed.
func (c *Core) Tick() {
	_ = c.input(func() error {
		c.now++
		c.pace.push(c.commit)
		c.rn.Tick()
		if err := c.drain(); err != nil {
			return err
		}
		c.observe()
		c.campaignAlone()
		return c.steward()
	})
}

// campaignAlone spares the only voter of a group the wait for its own election.
func (c *Core) campaignAlone() {
	m, ok := c.members.Member(c.cfg.ID)
	if !ok || m.Role != codec.RoleVoter || c.members.Voters() != 1 || c.state != raft.StateFollower {
		return
	}
	if c.applied == c.commit && c.next.Adopt == nil && c.out == nil {
		_ = c.rn.Campaign()
	}
}

// Step takes one message that came over the connection of from. Errors are
// those of Admit; a *LostEntriesError or *DivergenceError ends the Core.
func (c *Core) Step(from codec.RaftID, data []byte) error {
	if c.failed != nil {
		return c.failed
	}
	m := new(raftpb.Message)
	if err := proto.Unmarshal(data, m); err != nil {
		return &AdmitError{From: from, Why: err.Error()}
	}
	if err := Admit(c.view(), from, m); err != nil {
		return c.sort(err)
	}
	return c.input(func() error { return c.receive(from, m) })
}

func (c *Core) view() View {
	return View{
		ID: c.cfg.ID, Leader: c.lead, Term: c.term, Commit: c.commit, Last: c.last(),
		Leading: c.leading(), Reads: c.reads.rounds, TermAt: c.termAt,
	}
}

func (c *Core) receive(from codec.RaftID, m *raftpb.Message) error {
	c.heard(from)
	switch m.GetType() {
	case raftpb.MsgSnap:
		return c.receiveSnapshot(m)
	case raftpb.MsgTimeoutNow:
		if c.replaying() {
			return nil // leadership is never taken by a replaying member
		}
	}
	err := c.rn.Step(m)
	if errors.Is(err, raft.ErrStepPeerNotFound) {
		return nil // the answer of a member that is gone
	}
	if err == nil {
		err = c.unpauseLeader(m)
	}
	return err
}

// Propose appends commands, each the data of one entry, to the leader's log:
// all of them or none. It says accepted, not committed. ErrNotLeader and
// ErrNoQuorum: nothing happened.
func (c *Core) Propose(commands [][]byte) (accepted int, err error) {
	for _, data := range commands {
		if err := codec.CheckEntry(codec.Entry{Kind: codec.KindCommand, Data: data}); err != nil {
			return 0, fmt.Errorf("propose: %w", err)
		}
	}
	if len(commands) == 0 {
		return 0, nil // the library panics on an empty proposal
	}
	err = c.input(func() error { return c.propose(commands) })
	if err != nil {
		return 0, err
	}
	return len(commands), nil
}

func (c *Core) propose(data [][]byte) error {
	if !c.leading() || c.transferring() {
		return ErrNotLeader
	}
	entries := make([]*raftpb.Entry, len(data))
	for i, d := range data {
		entries[i] = &raftpb.Entry{Data: d}
	}
	err := c.rn.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(uint64(c.cfg.ID)), Entries: entries})
	if errors.Is(err, raft.ErrProposalDropped) {
		return ErrNoQuorum
	}
	return err
}

func (c *Core) transferring() bool { return c.rn.BasicStatus().LeadTransferee != raft.None }

// Applied is raft-applied: the last entry that Advance took.
func (c *Core) Applied() codec.Index { return c.applied }

// Configuration is the configuration at Applied.
func (c *Core) Configuration() codec.Configuration { return c.members }
