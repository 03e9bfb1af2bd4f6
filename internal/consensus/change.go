package consensus

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// change is the one change that a configuration entry makes.
type change struct {
	id  codec.RaftID
	typ raftpb.ConfChangeType
	ctx codec.ConfigContext
}

var errChange = errors.New("bad configuration entry")

// Founding makes entry 1 of a new log: id, the founder, is its only voter. The
// nonce in ctx makes this log another one than any other founding's.
func Founding(id codec.RaftID, ctx codec.ConfigContext) (codec.Entry, error) {
	ctx.Role = codec.RoleVoter
	e := codec.Entry{Index: 1, Term: 1, Kind: codec.KindConfig}
	var err error
	if e.Data, err = (change{id: id, typ: raftpb.ConfChangeAddNode, ctx: ctx}).encode(); err != nil {
		return codec.Entry{}, fmt.Errorf("found: %w", err)
	}
	if _, err := Fold(codec.Configuration{}, e); err != nil {
		return codec.Entry{}, fmt.Errorf("found: %w", err)
	}
	return e, nil
}

// Admission makes the entry at index with which a log admits a member, for logs
// that are written without a Core. Its term is 1.
func Admission(index codec.Index, id codec.RaftID, ctx codec.ConfigContext) (codec.Entry, error) {
	e := codec.Entry{Index: index, Term: 1, Kind: codec.KindConfig}
	typ := raftpb.ConfChangeAddLearnerNode
	if ctx.Role == codec.RoleVoter {
		typ = raftpb.ConfChangeAddNode
	}
	ch := change{id: id, typ: typ, ctx: ctx}
	if err := ch.check(false); err != nil {
		return codec.Entry{}, fmt.Errorf("%w: %w", errChange, err)
	}
	var err error
	e.Data, err = ch.encode()
	return e, err
}

// Fold is c after the configuration entry e. Every configuration follows by it
// from the log alone, so members and ledger never differ in one. An error means
// that no honest leader wrote e after c.
func Fold(c codec.Configuration, e codec.Entry) (codec.Configuration, error) {
	ch, err := decodeChange(e)
	if err != nil {
		return c, err
	}
	if (e.Index == 1) != (c.Index == 0) || c.Index != 0 && e.Index <= c.Index {
		return c, fmt.Errorf("%w: index %d after a configuration of index %d", errChange, e.Index, c.Index)
	}
	next, err := ch.fold(c)
	if err != nil {
		return c, fmt.Errorf("%w: index %d: %w", errChange, e.Index, err)
	}
	next.Index = e.Index
	if ch.typ == raftpb.ConfChangeRemoveNode {
		next = next.WithRemoval(ch.id, e.Index)
	}
	if ch.ctx.Target != 0 {
		next.Target = ch.ctx.Target
	}
	if len(ch.ctx.Nonce) > 0 { // a founding or recovery
		next = next.Began(e)
	}
	return next, nil
}

func (ch change) fold(c codec.Configuration) (codec.Configuration, error) {
	old, exists := c.Member(ch.id)
	gone, was := c.RemovedAt(ch.id)
	switch {
	case was:
		return c, fmt.Errorf("member %v was removed at index %d, and is not added again", ch.id, gone)
	case exists && old.Peer != ch.ctx.Peer:
		return c, fmt.Errorf("member %v is peer %s, not %s", ch.id, old.Peer, ch.ctx.Peer)
	case ch.typ == raftpb.ConfChangeRemoveNode && !exists:
		return c, fmt.Errorf("member %v to remove is not there", ch.id)
	case !exists && len(c.Members) >= codec.MaxMembers:
		return c, fmt.Errorf("the group is full, %d members", codec.MaxMembers)
	case ch.recovery() && (len(c.Members) != 1 || !exists || old.Role != codec.RoleVoter):
		return c, fmt.Errorf("a recovery by %v, which is not the one voter and the only member", ch.id)
	case ch.recovery() && ch.ctx.Recovers != c.Log:
		return c, fmt.Errorf("a recovery of log %v, this is log %v", ch.ctx.Recovers, c.Log)
	}
	next := c.Without(ch.id)
	if ch.typ != raftpb.ConfChangeRemoveNode {
		addrs := ch.ctx.Addrs
		if exists && len(addrs) == 0 {
			addrs = old.Addrs // a change of role alone
		}
		next = c.With(codec.Member{RaftID: ch.id, Peer: ch.ctx.Peer, Role: ch.ctx.Role, Addrs: addrs})
	}
	if next.Voters() == 0 {
		return c, errors.New("no voter would be left")
	}
	return next, nil
}

// decodeChange reads a configuration entry by itself. Everything that the
// library panics on is refused here: other kinds of entry, garbage, more or
// less than one change, joint consensus, unknown types.
func decodeChange(e codec.Entry) (change, error) {
	var cc raftpb.ConfChangeV2
	if e.Kind != codec.KindConfig {
		return change{}, fmt.Errorf("%w: index %d is a %v", errChange, e.Index, e.Kind)
	}
	if err := proto.Unmarshal(e.Data, &cc); err != nil {
		return change{}, fmt.Errorf("%w: index %d: %w", errChange, e.Index, err)
	}
	if len(cc.GetChanges()) != 1 || cc.GetTransition() != raftpb.ConfChangeTransitionAuto {
		return change{}, fmt.Errorf("%w: index %d: %d changes, transition %v", errChange, e.Index, len(cc.GetChanges()), cc.GetTransition())
	}
	ctx, err := codec.DecodeConfigContext(cc.GetContext())
	if err != nil {
		return change{}, fmt.Errorf("%w: index %d: %w", errChange, e.Index, err)
	}
	ch := change{id: codec.RaftID(cc.Changes[0].GetNodeId()), typ: cc.Changes[0].GetType(), ctx: ctx}
	if err := ch.check(e.Index == 1); err != nil {
		return change{}, fmt.Errorf("%w: index %d: %w", errChange, e.Index, err)
	}
	return ch, nil
}

func (ch change) check(founding bool) error {
	var ok bool
	switch ch.typ {
	case raftpb.ConfChangeAddNode:
		ok = ch.ctx.Role == codec.RoleVoter
	case raftpb.ConfChangeAddLearnerNode:
		ok = ch.ctx.Role == codec.RoleStandby || ch.ctx.Role == codec.RoleObserver
	case raftpb.ConfChangeRemoveNode:
		ok = ch.ctx.Role == 0
	}
	switch {
	case !ok:
		return fmt.Errorf("%v with %v", ch.typ, ch.ctx.Role)
	case !validID(ch.id):
		return fmt.Errorf("raft id %v", ch.id)
	case (founding || ch.recovery()) && (ch.typ != raftpb.ConfChangeAddNode || len(ch.ctx.Nonce) == 0 || ch.ctx.Target == 0):
		return errors.New("a founding or recovery needs a voter, a nonce and a target of voters")
	case !founding && !ch.recovery() && len(ch.ctx.Nonce) != 0:
		return errors.New("only a founding or recovery has a nonce")
	case ch.ctx.Target != 0 && ch.typ != raftpb.ConfChangeAddNode:
		return errors.New("a target of voters comes with a voter")
	}
	return nil
}

// recovery: the change begins another log, for a group that lost its majority.
func (ch change) recovery() bool { return !ch.ctx.Recovers.IsZero() }

func (ch change) proto() (*raftpb.ConfChangeV2, error) {
	ctx, err := codec.EncodeConfigContext(ch.ctx)
	if err != nil {
		return nil, err
	}
	return &raftpb.ConfChangeV2{
		Transition: raftpb.ConfChangeTransitionAuto.Enum(),
		Changes:    []*raftpb.ConfChangeSingle{{Type: ch.typ.Enum(), NodeId: new(uint64(ch.id))}},
		Context:    ctx,
	}, nil
}

func (ch change) encode() ([]byte, error) {
	cc, err := ch.proto()
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(cc)
}

// confState is what the library keeps of a configuration.
func confState(c codec.Configuration) *raftpb.ConfState {
	cs := &raftpb.ConfState{AutoLeave: new(false)}
	for _, m := range c.Members {
		if m.Role == codec.RoleVoter {
			cs.Voters = append(cs.Voters, uint64(m.RaftID))
		} else {
			cs.Learners = append(cs.Learners, uint64(m.RaftID))
		}
	}
	return cs
}

// idsOf lists voters and learners, sorted.
func idsOf(cs *raftpb.ConfState) []codec.RaftID {
	var ids []codec.RaftID
	for _, id := range slices.Concat(cs.GetVoters(), cs.GetLearners()) {
		ids = append(ids, codec.RaftID(id))
	}
	slices.Sort(ids)
	return ids
}
