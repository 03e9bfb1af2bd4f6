package consensus

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/logmesh/logmesh/codec"
)

// View is what Admit knows of the member that a message reached.
type View struct {
	ID      codec.RaftID
	Leader  codec.RaftID // 0: none known
	Term    codec.Term
	Commit  codec.Index
	Last    codec.Index // the end of the log, saved or not
	Leading bool
	Reads   uint64 // read rounds of this leadership so far
	// TermAt is the term of the entry at an index; false: not in the raft view.
	TermAt func(codec.Index) (codec.Term, bool)
}

// admitted are the types that members send each other. All others are local to
// a member: proposals, reads and transfers travel as calls.
var admitted = []raftpb.MessageType{
	raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp,
	raftpb.MsgSnap, raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgTimeoutNow,
}

// maxNumber bounds terms and indexes from outside, so that adding to them never
// overflows.
const maxNumber = 1 << 62

// Admit reports why m must not be stepped: *AdmitError when its sender broke
// the protocol, *LostEntriesError and *DivergenceError when it is evidence that
// this member must stop. An admitted message never makes the library panic.
func Admit(v View, from codec.RaftID, m *raftpb.Message) error {
	if why := v.header(from, m); why != "" {
		return &AdmitError{From: from, Why: why}
	}
	why, err := v.body(m)
	if why != "" {
		return &AdmitError{From: from, Why: fmt.Sprintf("%v: %s", m.GetType(), why)}
	}
	return err
}

// header checks what all messages have in common.
func (v View) header(from codec.RaftID, m *raftpb.Message) string {
	switch {
	case !slices.Contains(admitted, m.GetType()):
		return fmt.Sprintf("%v does not travel", m.GetType())
	case !validID(from) || codec.RaftID(m.GetFrom()) != from:
		return fmt.Sprintf("it says that it is from %v", codec.RaftID(m.GetFrom()))
	case codec.RaftID(m.GetTo()) != v.ID || from == v.ID:
		return fmt.Sprintf("it is for %v", codec.RaftID(m.GetTo()))
	case m.GetTerm() == 0: // the library takes it as its own
		return "no term"
	case max(m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetRejectHint()) > maxNumber:
		return "a number too large"
	case m.GetLogTerm() > m.GetTerm() && !m.GetReject():
		return fmt.Sprintf("log term %d in term %d", m.GetLogTerm(), m.GetTerm())
	case len(m.GetResponses()) != 0 || m.GetVote() != 0:
		return "fields of local messages"
	case len(m.GetEntries()) != 0 && m.GetType() != raftpb.MsgApp:
		return "entries"
	case m.GetSnapshot() != nil && m.GetType() != raftpb.MsgSnap:
		return "a snapshot"
	case v.Leading && m.GetTerm() == uint64(v.Term) && fromLeader(m.GetType()):
		return fmt.Sprintf("%v of another leader of our term %d", m.GetType(), v.Term)
	}
	return ""
}

func fromLeader(t raftpb.MessageType) bool {
	return t == raftpb.MsgApp || t == raftpb.MsgHeartbeat || t == raftpb.MsgSnap || t == raftpb.MsgTimeoutNow
}

func (v View) body(m *raftpb.Message) (why string, err error) {
	switch m.GetType() {
	case raftpb.MsgApp:
		return v.append(m)
	case raftpb.MsgAppResp:
		return v.appended(m), nil
	case raftpb.MsgHeartbeat:
		return v.heartbeat(m)
	case raftpb.MsgHeartbeatResp:
		return v.heartbeatAnswer(m), nil
	case raftpb.MsgSnap:
		return v.snapshot(m)
	case raftpb.MsgTimeoutNow:
		if v.Leader != 0 && m.GetTerm() == uint64(v.Term) && codec.RaftID(m.GetFrom()) != v.Leader {
			return fmt.Sprintf("the leader is %v", v.Leader), nil
		}
	case raftpb.MsgVote, raftpb.MsgPreVote:
		if c := string(m.GetContext()); c != "" && c != "CampaignTransfer" {
			return "unknown context", nil
		}
	}
	return "", nil
}

// append checks that entries are consecutive, of terms that never fall, of
// known kinds and sizes, and that none differs from what is committed here. A
// leader of our term or a later one has every entry that is committed here
// (thesis, section 3.6.3); what an earlier one says proves nothing.
func (v View) append(m *raftpb.Message) (string, error) {
	prev, term := codec.Cursor{Index: codec.Index(m.GetIndex()), Term: codec.Term(m.GetLogTerm())}, m.GetLogTerm()
	if (prev.Index == 0) != (prev.Term == 0) {
		return fmt.Sprintf("entries after %v", prev), nil
	}
	current := m.GetTerm() >= uint64(v.Term)
	if err := v.committed(m, prev); current && err != nil {
		return "", err
	}
	for i, pe := range m.GetEntries() {
		e, err := fromProto(pe)
		if err != nil {
			return err.Error(), nil
		}
		if e.Index != prev.Index+1+codec.Index(i) || uint64(e.Term) < term || e.Term == 0 || uint64(e.Term) > m.GetTerm() {
			return fmt.Sprintf("entry %v in place %d after %v of term %d", e.Cursor(), i, prev, term), nil
		}
		if why := checkEntry(e); why != "" {
			return why, nil
		}
		if err := v.committed(m, e.Cursor()); current && err != nil {
			return "", err
		}
		term = uint64(e.Term)
	}
	return "", nil
}

func checkEntry(e codec.Entry) string {
	err := codec.CheckEntry(e)
	if err == nil && e.Kind == codec.KindConfig {
		_, err = decodeChange(e)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// committed compares a position with what is committed here.
func (v View) committed(m *raftpb.Message, at codec.Cursor) error {
	if at.Index == 0 || at.Index > v.Commit {
		return nil
	}
	if term, ok := v.TermAt(at.Index); ok && term != at.Term {
		return &DivergenceError{
			From: codec.RaftID(m.GetFrom()), Index: at.Index,
			Ours: fmt.Sprintf("term %d, committed,", term), Other: fmt.Sprintf("term %d", at.Term),
		}
	}
	return nil
}

// appended: nobody acknowledges what we did not send.
func (v View) appended(m *raftpb.Message) string {
	if v.Leading && m.GetTerm() == uint64(v.Term) && max(m.GetIndex(), m.GetRejectHint()) > uint64(v.Last) {
		return fmt.Sprintf("index %d, hint %d, and the log ends at %d", m.GetIndex(), m.GetRejectHint(), v.Last)
	}
	return ""
}

// heartbeat: a leader never commits beyond what we acknowledged in its term.
func (v View) heartbeat(m *raftpb.Message) (string, error) {
	if n := len(m.GetContext()); n != 0 && n != 8 {
		return fmt.Sprintf("a context of %d bytes", n), nil
	}
	if m.GetTerm() >= uint64(v.Term) && m.GetCommit() > uint64(v.Last) {
		return "", &LostEntriesError{
			From: codec.RaftID(m.GetFrom()), Term: codec.Term(m.GetTerm()), Commit: codec.Index(m.GetCommit()), Last: v.Last,
		}
	}
	return "", nil
}

// heartbeatAnswer: the context echoes the number of a read round of ours; the
// library slices by it.
func (v View) heartbeatAnswer(m *raftpb.Message) string {
	ctx := m.GetContext()
	switch {
	case len(ctx) == 0:
		return ""
	case len(ctx) != 8:
		return fmt.Sprintf("a context of %d bytes", len(ctx))
	case v.Leading && m.GetTerm() == uint64(v.Term) && roundOf(ctx) > v.Reads:
		return fmt.Sprintf("read round %d of %d", roundOf(ctx), v.Reads)
	}
	return ""
}

// snapshot: metadata alone, with us in it, and nothing of joint consensus.
func (v View) snapshot(m *raftpb.Message) (string, error) {
	meta := m.GetSnapshot().GetMetadata()
	cs := meta.GetConfState()
	ids := idsOf(cs)
	at := codec.Cursor{Index: codec.Index(meta.GetIndex()), Term: codec.Term(meta.GetTerm())}
	switch {
	case at.Index == 0 || at.Index > maxNumber || at.Term == 0 || uint64(at.Term) > m.GetTerm():
		return fmt.Sprintf("position %v in term %d", at, m.GetTerm()), nil
	case len(m.GetSnapshot().GetData()) != 0:
		return "it carries data", nil
	case len(cs.GetVoters()) == 0 || len(ids) > codec.MaxMembers:
		return fmt.Sprintf("%d voters of %d members", len(cs.GetVoters()), len(ids)), nil
	case len(cs.GetVotersOutgoing()) != 0 || len(cs.GetLearnersNext()) != 0 || cs.GetAutoLeave():
		return "joint consensus", nil
	case len(slices.Compact(slices.Clone(ids))) != len(ids) || !validID(ids[0]) || !validID(ids[len(ids)-1]):
		return "an id twice, or one that cannot be", nil
	case !slices.Contains(ids, v.ID):
		return "we are not in it", nil
	}
	if m.GetTerm() < uint64(v.Term) {
		return "", nil
	}
	return "", v.committed(m, at)
}
