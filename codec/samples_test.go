package codec

import (
	"bytes"
	"strings"
)

// sample is a message with the name under which golden files pin its bytes.
type sample struct {
	name string
	m    Message
}

// hashOf is a hash that is easy to see in hexadecimal: the byte b, 32 times.
func hashOf(b byte) Hash { return Hash(bytes.Repeat([]byte{b}, 32)) }

func hashesOf(n int, first byte) []Hash {
	out := make([]Hash, n)
	for i := range out {
		out[i] = hashOf(first + byte(i))
	}
	return out
}

const (
	alice = PeerID("12D3KooWAlice")
	bob   = PeerID("12D3KooWBob")
)

func sampleConfig() Configuration {
	return Configuration{Index: 17, Target: 3, Log: hashOf(0x44), Members: []Member{
		{RaftID: 0x0102030405060708, Peer: alice, Role: RoleVoter, Addrs: []string{"/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/udp/4001/quic-v1"}},
		{RaftID: 0xf102030405060708, Peer: bob, Role: RoleObserver},
	}, Removed: []Removal{{RaftID: 9, Index: 12}, {RaftID: 1 << 60, Index: 17}}}
}

// recovered is sampleConfig after two recoveries.
func recovered() Configuration {
	c := sampleConfig()
	c.Before = []Recovery{{Log: hashOf(0x42), Index: 9}, {Log: hashOf(0x43), Index: 17}}
	return c
}

// samples has every message at least once, with its optional fields and without.
func samples() []sample {
	return append(append(bondSamples(), raftSamples()...), append(syncSamples(), callSamples()...)...)
}

func bondSamples() []sample {
	return []sample{
		{"Hello", &Hello{Group: hashOf(0x11), Nonce: hashOf(0x22)}},
		{"Proof", &Proof{MAC: hashOf(0x33), Log: hashOf(0x44), Machine: "kv/1", Version: ProtocolVersion}},
		{"Proof no log", &Proof{MAC: hashOf(0x33), Machine: "kv/1", Version: ProtocolVersion}},
		{"Proof after a recovery", &Proof{MAC: hashOf(0x33), Log: hashOf(0x44), Machine: "kv/1", Version: ProtocolVersion, Before: recovered().Before}},
		{"Accept", &Accept{MAC: hashOf(0x55), Log: hashOf(0x44), Machine: "kv/1", Version: ProtocolVersion}},
		{"Refuse", &Refuse{Field: "machine", Ours: "kv/1", Theirs: "zähler/1"}},
		{"Refuse of a log that ended", &Refuse{Field: "log", Ours: hashOf(0x44).String(), Theirs: hashOf(0x43).String(), Ended: 17}},
		{"Announcement", &Announcement{
			Peer: alice, Addrs: []string{"/ip4/192.0.2.1/tcp/4001"}, Seq: 1 << 40,
			Groups: []GroupTag{{Group: hashOf(1), Log: hashOf(2), Role: RoleStandby}, {Group: hashOf(3)}}, Version: ProtocolVersion,
		}},
		{"Announcement bare", &Announcement{Peer: bob}},
	}
}

func raftSamples() []sample {
	return []sample{
		{"RaftOpen", &RaftOpen{Group: hashOf(0x11), Log: hashOf(0x44), Nonce: 99, From: 1<<64 - 1, To: 1 << 32}},
		{"RaftBatch", &RaftBatch{Messages: [][]byte{{1, 2, 3}, {}, bytes.Repeat([]byte{7}, 24)}}},
		{"RaftBatch empty", &RaftBatch{}},
		{"NotMe", &NotMe{Asked: 23, Mine: 24}},
		{"RemovedAt", &RemovedAt{Index: 255}},
		{"Progress", &Progress{PendingSnapshot: 256, Blocks: 65535, RaftApplied: 65536, MachineApplied: 1<<32 - 1, Digest: BlockDigest{Block: 65534, Digest: hashOf(0x66)}}},
		{"Progress zero", &Progress{}},
	}
}

func syncSamples() []sample {
	head := Head{Blocks: 70, Last: 8960, Root: hashOf(0x70)}
	held := []BlockRange{{From: 0, To: 10}, {From: 12, To: 70}}
	return []sample{
		{"Open", &Open{Group: hashOf(0x11), Log: hashOf(0x44), Nonce: 7}},
		{"AvailabilityRequest", &AvailabilityRequest{Group: hashOf(0x11), Log: hashOf(0x44), Nonce: 7, Requester: alice, Sizes: []uint64{32, 64, 70}}},
		{"AvailabilityRequest no sizes", &AvailabilityRequest{Group: hashOf(0x11), Nonce: 7, Requester: alice}},
		{"AvailabilityReply", &AvailabilityReply{
			Nonce: 7, Held: held, Head: head, Rounded: SizedRoot{Blocks: 64, Root: hashOf(0x64)},
			Roots: []SizedRoot{{Blocks: 32, Root: hashOf(0x32)}}, Committed: Cursor{Index: 9000, Term: 5}, Horizon: 4000,
			Voter: true, Leader: true, Digest: BlockDigest{Block: 69, Digest: hashOf(0x66)},
		}},
		{"AvailabilityReply empty", &AvailabilityReply{Nonce: 7, Head: Head{Root: EmptyRoot()}}},
		{"Fetch", &Fetch{Lease: 1, Tree: 70, Zstd: true, Ranges: []WantRange{{From: 0, To: 32, Proved: true}, {From: 64, To: 70}}}},
		{"Fetch leaves only", &Fetch{Lease: 2, Tree: 70, Leaves: true, Ranges: []WantRange{{From: 0, To: 70}}}},
		{"Extend", &Extend{Lease: 1, Seq: 1, Ranges: []WantRange{{From: 70, To: 71}}}},
		{"Trim", &Trim{Lease: 1, Seq: 2, Place: 33}},
		{"Cancel", &Cancel{Lease: 1}},
		{"Leaves", &Leaves{Lease: 1, Group: 1, Tree: 70, Leaves: hashesOf(3, 0x80), Left: hashesOf(1, 0x90), Right: hashesOf(2, 0xa0)}},
		{"Leaves empty", &Leaves{Lease: 1}},
		{"Blocks", &Blocks{Lease: 1, Number: 300, Data: []byte("block")}},
		{"Blocks zstd", &Blocks{Lease: 1, Number: 1 << 40, Zstd: true, Data: bytes.Repeat([]byte{0x28}, 300)}},
		{"End", &End{Lease: 1, Seq: 2, Sent: 30, Last: 29, Reason: EndTrimmed, Held: held, Head: head, Horizon: 4000, Digest: BlockDigest{Block: 69, Digest: hashOf(0x66)}}},
		{"End busy", &End{Lease: 1, Reason: EndBusy, RetryAfter: 1500}},
	}
}

func callSamples() []sample {
	return []sample{
		{"Join", &Join{RaftID: 5, Role: RoleStandby, Addrs: []string{"/ip4/192.0.2.9/tcp/4001"}, Cursor: Cursor{Index: 8960, Term: 5}}},
		{"Join no address", &Join{RaftID: 5, Role: RoleObserver}},
		{"Leave", &Leave{RaftID: 5}},
		{"Propose", &Propose{Commands: [][]byte{{1}, {2, 3}}}},
		{"Propose empty", &Propose{}},
		{"ReadIndex", &ReadIndex{}},
		{"Members", &Members{}},
		{"Remove", &Remove{RaftID: 5}},
		{"Promote", &Promote{RaftID: 5}},
		{"Promote instead", &Promote{RaftID: 5, Instead: 1 << 63}},
		{"Transfer", &Transfer{RaftID: 5}},
		{"Retarget", &Retarget{Voters: 5}},
		{"Answer removed", &Answer{Status: CallRemoved, Index: 16}},
		{"Answer", &Answer{Status: CallOK, Index: 17, Config: sampleConfig()}},
		{"Answer after a recovery", &Answer{Status: CallOK, Index: 17, Config: recovered()}},
		{"Answer not leader", &Answer{Status: CallNotLeader, Leader: bob, Reason: "ask the leader"}},
		{"Answer bare", &Answer{Status: CallUnavailable}},
	}
}

// largest has, for every frame type, the message with the longest encoding that
// its check lets pass, as far as the frame's own limit does not bound it.
func largest() map[FrameType]Message {
	const number, index, word = maxBlockNumber, maxIndex, 1<<64 - 1
	hash := hashOf(0xff)
	addrs := repeat(MaxAddrs, strings.Repeat("a", MaxAddrBytes))
	peer := PeerID(strings.Repeat("p", maxPeer))
	machine, reason := strings.Repeat("m", maxMachine), strings.Repeat("r", maxReason)
	digest := BlockDigest{Block: number, Digest: hash}
	head := Head{Blocks: number, Last: index, Root: hash}
	held := make([]BlockRange, MaxHeld)
	for i := range held {
		held[i] = BlockRange{From: 1<<40 + 2*uint64(i), To: 1<<40 + 2*uint64(i) + 1}
	}
	want := repeat(MaxRanges, WantRange{From: number - 1, To: number, Proved: true})
	cursor := Cursor{Index: index, Term: word}
	var members []Member
	for i := range MaxMembers {
		members = append(members, Member{RaftID: 1<<63 + RaftID(i), Peer: peer, Role: RoleObserver, Addrs: addrs})
	}
	removed := make([]Removal, MaxRemoved)
	for i := range removed {
		removed[i] = Removal{RaftID: 1 << 62, Index: index - MaxRemoved + Index(i) + 1}
	}
	var before []Recovery
	for i := range MaxBefore {
		before = append(before, Recovery{Log: hash, Index: index - MaxBefore + Index(i)})
	}
	root := SizedRoot{Blocks: number, Root: hash}
	all := []Message{
		&Hello{Group: hash, Nonce: hash},
		&Proof{MAC: hash, Log: hash, Machine: machine, Version: word, Before: before},
		&Accept{MAC: hash, Log: hash, Machine: machine, Version: word},
		&Refuse{Field: reason[:maxField], Ours: reason, Theirs: reason, Ended: index},
		&RaftOpen{Group: hash, Log: hash, Nonce: word, From: word, To: word},
		&RaftBatch{Messages: repeat(MaxRaftBatch, bytes.Repeat([]byte{1}, (4<<20-4)/MaxRaftBatch-3))},
		&NotMe{Asked: word, Mine: word},
		&RemovedAt{Index: index},
		&Progress{PendingSnapshot: index, Blocks: number, RaftApplied: index, MachineApplied: index, Digest: digest},
		&Open{Group: hash, Log: hash, Nonce: word},
		&AvailabilityRequest{Group: hash, Log: hash, Nonce: word, Requester: peer, Sizes: repeat(MaxSizes, uint64(number))},
		&AvailabilityReply{
			Nonce: word, Held: held, Head: head, Rounded: root, Roots: repeat(MaxSizes, root),
			Committed: cursor, Horizon: index, Voter: true, Leader: true, Digest: digest,
		},
		&Fetch{Lease: word, Tree: number, Zstd: true, Leaves: true, Ranges: want},
		&Extend{Lease: word, Seq: word, Ranges: want},
		&Trim{Lease: word, Seq: word, Place: number},
		&Cancel{Lease: word},
		&Leaves{Lease: word, Group: number, Tree: number, Leaves: repeat(ProofGroup, hash), Left: repeat(maxFrontier, hash), Right: repeat(maxFrontier, hash)},
		&Blocks{Lease: word, Number: number, Zstd: true, Data: make([]byte, MaxBlock)},
		&End{Lease: word, Seq: word, Sent: number, Last: number, Reason: EndRefused, RetryAfter: word, Held: held, Head: head, Horizon: index, Digest: digest},
		&Join{RaftID: word, Role: RoleObserver, Addrs: addrs, Cursor: cursor},
		&Leave{RaftID: word},
		&Propose{Commands: repeat(MaxProposals, bytes.Repeat([]byte{1}, MaxProposal/MaxProposals))},
		&ReadIndex{},
		&Members{},
		&Remove{RaftID: word},
		&Promote{RaftID: word, Instead: word},
		&Transfer{RaftID: word},
		&Retarget{Voters: MaxVoters},
		&Answer{Status: CallRefused, Leader: peer, Reason: reason, Index: index, Config: Configuration{
			Index: index, Target: MaxVoters, Members: members, Removed: removed, Log: hash, Before: before,
		}},
		&Announcement{
			Peer: peer, Addrs: addrs, Seq: word, Version: word,
			Groups: repeat(MaxGroups, GroupTag{Group: hash, Log: hash, Role: RoleObserver}),
		},
	}
	out := map[FrameType]Message{}
	for _, m := range all {
		out[TypeOf(m)] = m
	}
	return out
}

func repeat[T any](n int, v T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = v
	}
	return out
}
