package sim

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
	"github.com/logmesh/logmesh/internal/replay"
	"github.com/logmesh/logmesh/internal/sim/disk"
	"github.com/logmesh/logmesh/machine"
)

// Faults are deliberate mistakes, each of which a run must find. The zero value
// makes none.
type Faults struct {
	Disk disk.Hooks // of every member's ledger

	SkipSync       bool // nothing is synced when Raft asks for it
	AckBeforeSync  bool // votes and acknowledgements leave before the save
	AckOnAccept    bool // a command counts as done when the leader has accepted it
	ForgetVote     bool // Raft is opened without its vote
	CountLearners  bool // the acknowledgement of a learner counts as a voter's
	StaleRead      bool // a leader confirms a read without asking its quorum
	ReuseRaftID    bool // a node that lost its directory comes back under its old id
	UnprovedBlocks bool // blocks are not checked against their leaves
	LoneVoter      bool // the root that one peer states counts as agreed
	DropSessions   bool // a repeated command is applied again
	ApplyTwice     bool // entries that come again are applied again
	SkipEntry      bool // replay leaves out an entry, now and then
	RetryAsNew     bool // a repeated command gets a new number
	EarlyEnd       bool // a lease counts as ended when it should be cancelled
	EarlyRead      bool // a read after an index does not wait for it
	StepUnsynced   bool // a held snapshot is stepped before the ledger has reached it
	NoFloor        bool // the horizon moves without regard to who needs what it hides
}

// ackOnAccept tells a user that its command is done though it is only accepted.
func (f *Faults) ackOnAccept(c *proposer, x *call, accepted bool) {
	if !f.AckOnAccept || !accepted || c.pending[x.seq] != x {
		return
	}
	c.settle(x)
	r := replay.Result{Index: c.m.raft.view.status.Last, Data: []byte{0xf4}}
	c.m.w.acknowledged(c.m, x, r)
	x.done(outcome{index: r.Index, data: r.Data})
}

// skipEntry leaves out an entry: in its place comes an empty one.
func (f *Faults) skipEntry(r *replayer, entries []codec.Entry) []codec.Entry {
	if !f.SkipEntry || r.m.dice.IntN(50) != 0 {
		return entries
	}
	out := append([]codec.Entry{}, entries...)
	i := r.m.dice.IntN(len(out))
	out[i].Kind, out[i].Data = codec.KindNoop, nil
	return out
}

// reapply applies a command again that a session table would have caught.
func (f *Faults) reapply(r *replayer, x replay.Result) {
	if !f.DropSessions || len(x.Nonce) > 0 || x.Expired || x.Rejected || x.Index >= r.core.Applied() {
		return
	}
	c, err := codec.DecodeCommand(r.m.w.decided.entries[x.Index-1].Data)
	if err != nil {
		return
	}
	var b machine.Batch
	b.Add(x.Index, bytes.Clone(c.Payload))
	r.machine.Apply(&b)
}

// loneVoter lets the root that a peer states, whoever it is, count as agreed.
func (f *Faults) loneVoter(a *catchup.Agreement, peer, self codec.PeerID) *catchup.Agreement {
	if !f.LoneVoter {
		return a
	}
	return catchup.NewAgreement([]codec.PeerID{peer}, self)
}

// countLearner lets the acknowledgement of a learner count as that of every voter.
func (f *Faults) countLearner(r *raftNode, from codec.RaftID, data []byte) {
	config := r.core.Configuration()
	sender, ok := config.Member(from)
	if !f.CountLearners || !r.view.lead || !ok || sender.Role == codec.RoleVoter {
		return
	}
	for _, m := range config.Members {
		if forged, ok := acknowledgementOf(m.RaftID, data); ok && m.Role == codec.RoleVoter && m.RaftID != r.m.ledger.RaftID() {
			_ = r.core.Step(m.RaftID, forged)
		}
	}
}

// Fields of a raftpb.Message, and the type of an acknowledgement.
const (
	fieldType, fieldFrom, fieldReject = 1, 3, 10
	typeAppResp                       = 4
)

// acknowledgementOf is a marshalled acknowledgement with another sender; false if
// it is another message, or a rejection.
func acknowledgementOf(id codec.RaftID, data []byte) (out []byte, ok bool) {
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		size := protowire.ConsumeFieldValue(number, typ, data[max(n, 0):])
		if n < 0 || size < 0 {
			return nil, false
		}
		if typ != protowire.VarintType {
			out, data = append(out, data[:n+size]...), data[n+size:]
			continue
		}
		v, _ := protowire.ConsumeVarint(data[n:])
		switch {
		case number == fieldType && v != typeAppResp, number == fieldReject && v != 0:
			return nil, false
		case number == fieldFrom:
			v = uint64(id)
		}
		out = protowire.AppendVarint(protowire.AppendTag(out, number, typ), v)
		data = data[n+size:]
	}
	return out, true
}
