package codec

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

func (*Hello) frameType() FrameType               { return TypeHello }
func (*Proof) frameType() FrameType               { return TypeProof }
func (*Accept) frameType() FrameType              { return TypeAccept }
func (*Refuse) frameType() FrameType              { return TypeRefuse }
func (*RaftOpen) frameType() FrameType            { return TypeRaftOpen }
func (*RaftBatch) frameType() FrameType           { return TypeRaftBatch }
func (*NotMe) frameType() FrameType               { return TypeNotMe }
func (*RemovedAt) frameType() FrameType           { return TypeRemovedAt }
func (*Progress) frameType() FrameType            { return TypeProgress }
func (*Open) frameType() FrameType                { return TypeOpen }
func (*AvailabilityRequest) frameType() FrameType { return TypeAvailabilityRequest }
func (*AvailabilityReply) frameType() FrameType   { return TypeAvailabilityReply }
func (*Fetch) frameType() FrameType               { return TypeFetch }
func (*Extend) frameType() FrameType              { return TypeExtend }
func (*Trim) frameType() FrameType                { return TypeTrim }
func (*Cancel) frameType() FrameType              { return TypeCancel }
func (*Leaves) frameType() FrameType              { return TypeLeaves }
func (*Blocks) frameType() FrameType              { return TypeBlocks }
func (*End) frameType() FrameType                 { return TypeEnd }
func (*Join) frameType() FrameType                { return TypeJoin }
func (*Leave) frameType() FrameType               { return TypeLeave }
func (*Propose) frameType() FrameType             { return TypePropose }
func (*ReadIndex) frameType() FrameType           { return TypeReadIndex }
func (*Members) frameType() FrameType             { return TypeMembers }
func (*Answer) frameType() FrameType              { return TypeAnswer }
func (*Remove) frameType() FrameType              { return TypeRemove }
func (*Promote) frameType() FrameType             { return TypePromote }
func (*Transfer) frameType() FrameType            { return TypeTransfer }
func (*Retarget) frameType() FrameType            { return TypeRetarget }
func (*Announcement) frameType() FrameType        { return TypeAnnouncement }

func (*Hello) check() error       { return nil }
func (*RaftOpen) check() error    { return nil }
func (*NotMe) check() error       { return nil }
func (m *RemovedAt) check() error { return checkIndex(m.Index) }
func (*Open) check() error        { return nil }
func (m *Trim) check() error      { return checkBlocks(m.Place) }
func (*Cancel) check() error      { return nil }
func (*Leave) check() error       { return nil }
func (*ReadIndex) check() error   { return nil }
func (*Members) check() error     { return nil }
func (*Remove) check() error      { return nil }
func (*Promote) check() error     { return nil }
func (*Transfer) check() error    { return nil }

func (m *Proof) check() error {
	return errors.Join(checkText("machine", m.Machine, maxMachine), checkBefore(m.Before))
}

func (m *Accept) check() error { return checkText("machine", m.Machine, maxMachine) }

func (m *Refuse) check() error {
	return errors.Join(checkText("field", m.Field, maxField),
		checkText("value", m.Ours, maxReason), checkText("value", m.Theirs, maxReason), checkIndex(m.Ended))
}

func (m *RaftBatch) check() error { return checkCount("messages", len(m.Messages), MaxRaftBatch) }

func (m *Progress) check() error {
	return errors.Join(checkBlocks(m.Blocks, m.Digest.Block),
		checkIndex(m.PendingSnapshot, m.RaftApplied, m.MachineApplied))
}

func (m *AvailabilityRequest) check() error {
	return errors.Join(checkPeer(m.Requester), checkCount("tree sizes", len(m.Sizes), MaxSizes), checkBlocks(m.Sizes...))
}

func (m *AvailabilityReply) check() error {
	for _, r := range m.Roots {
		if err := checkBlocks(r.Blocks); err != nil {
			return err
		}
	}
	return errors.Join(checkHeld(m.Held, m.Head), checkCount("roots", len(m.Roots), MaxSizes),
		checkBlocks(m.Rounded.Blocks, m.Digest.Block), checkIndex(m.Committed.Index, m.Horizon))
}

func (m *End) check() error {
	if m.Reason < EndDone || m.Reason > EndRefused {
		return fmt.Errorf("unknown reason %d", m.Reason)
	}
	return errors.Join(checkHeld(m.Held, m.Head), checkBlocks(m.Sent, m.Last, m.Digest.Block), checkIndex(m.Horizon))
}

func (m *Fetch) check() error  { return errors.Join(checkBlocks(m.Tree), checkWanted(m.Ranges)) }
func (m *Extend) check() error { return checkWanted(m.Ranges) }

func (m *Leaves) check() error {
	return errors.Join(checkBlocks(m.Group, m.Tree), checkCount("leaves", len(m.Leaves), ProofGroup),
		checkCount("hashes", len(m.Left), maxFrontier), checkCount("hashes", len(m.Right), maxFrontier))
}

func (m *Blocks) check() error {
	if len(m.Data) == 0 {
		return errors.New("an empty block")
	}
	return errors.Join(checkBlocks(m.Number), checkCount("bytes", len(m.Data), MaxBlock))
}

func (m *Join) check() error {
	if m.RaftID == 0 || m.Role != RoleStandby && m.Role != RoleObserver {
		return fmt.Errorf("member %v cannot join as %v", m.RaftID, m.Role)
	}
	return errors.Join(checkIndex(m.Cursor.Index), checkAddrs(m.Addrs))
}

func (m *Propose) check() error {
	total := 0
	for _, c := range m.Commands {
		if err := checkEntry(KindCommand, len(c)); err != nil {
			return err
		}
		total += len(c)
	}
	if len(m.Commands) > 1 && total > MaxProposal {
		return fmt.Errorf("%d bytes of commands, at most %d are allowed", total, MaxProposal)
	}
	return checkCount("commands", len(m.Commands), MaxProposals)
}

func (m *Retarget) check() error {
	if m.Voters == 0 || m.Voters > MaxVoters {
		return fmt.Errorf("a target of %d voters, 1 to %d are allowed", m.Voters, MaxVoters)
	}
	return nil
}

func (m *Answer) check() error {
	if m.Status < CallOK || m.Status > CallRemoved {
		return fmt.Errorf("unknown status %d", m.Status)
	}
	return errors.Join(checkText("reason", m.Reason, maxReason), checkText("leader", string(m.Leader), maxPeer),
		checkIndex(m.Index), m.Config.check())
}

func (m *Announcement) check() error {
	for _, g := range m.Groups {
		if g.Role > RoleObserver {
			return fmt.Errorf("unknown %v", g.Role)
		}
	}
	return errors.Join(checkPeer(m.Peer), checkAddrs(m.Addrs), checkCount("groups", len(m.Groups), MaxGroups))
}

// checkText checks a text's length in bytes, and that it is UTF-8: the CBOR
// decoder refuses other text, so no encoder may write it.
func checkText(what, s string, limit int) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", what)
	}
	return checkCount("bytes of "+what, len(s), limit)
}

func checkCount(what string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%d %s, at most %d are allowed", n, what, limit)
	}
	return nil
}

// Bounds of block numbers and of indices in messages, so that a receiver's sums
// of them never overflow.
const (
	maxBlockNumber = 1 << 56
	maxIndex       = 1 << 63
)

func checkBlocks(numbers ...uint64) error {
	for _, n := range numbers {
		if n > maxBlockNumber {
			return fmt.Errorf("block number %d is too great", n)
		}
	}
	return nil
}

func checkIndex(indices ...Index) error {
	for _, i := range indices {
		if i > maxIndex {
			return fmt.Errorf("index %d is too great", i)
		}
	}
	return nil
}

// checkHeld checks ranges that an offer names: not empty, ascending, apart,
// below the head.
func checkHeld(held []BlockRange, head Head) error {
	end := uint64(0)
	for i, r := range held {
		if r.From >= r.To || i > 0 && r.From <= end {
			return fmt.Errorf("held range [%d, %d) is empty or out of order", r.From, r.To)
		}
		end = r.To
	}
	if end > head.Blocks {
		return fmt.Errorf("held ranges end at %d, the head at %d", end, head.Blocks)
	}
	return errors.Join(checkBlocks(head.Blocks), checkIndex(head.Last), checkCount("held ranges", len(held), MaxHeld))
}

func checkWanted(ranges []WantRange) error {
	if len(ranges) == 0 {
		return errors.New("no ranges")
	}
	if i := slices.IndexFunc(ranges, func(r WantRange) bool { return r.From >= r.To || r.To > maxBlockNumber }); i >= 0 {
		return fmt.Errorf("range [%d, %d) is empty or too far", ranges[i].From, ranges[i].To)
	}
	return checkCount("ranges", len(ranges), MaxRanges)
}
