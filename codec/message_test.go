package codec

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// messageTypes has the Go type of every message.
var messageTypes = func() map[FrameType]reflect.Type {
	out := map[FrameType]reflect.Type{}
	for _, s := range samples() {
		out[TypeOf(s.m)] = reflect.TypeOf(s.m).Elem()
	}
	return out
}()

// newMessage is a zero message of type t.
func newMessage(t FrameType) Message { return reflect.New(messageTypes[t]).Interface().(Message) }

// Whatever a message may hold by its own rules fits its frame.
func TestLargestMessagesFit(t *testing.T) {
	all := largest()
	require.Len(t, all, len(frameTypes), "a message is missing")
	for typ, m := range all {
		data, err := Encode(m)
		require.NoError(t, err)
		require.NoError(t, Decode(data, newMessage(typ)))
		t.Logf("%-20s %8d of %8d bytes", typ, len(data), typ.Limit())
	}
}

// A single entry of the greatest size fits a Propose.
func TestLargestEntryFitsPropose(t *testing.T) {
	m := &Propose{Commands: [][]byte{make([]byte, MaxEntryData)}}
	_, err := Encode(m)
	require.NoError(t, err)
	envelope := AppendCommand(nil, Command{Session: 1<<64 - 1, Seq: 1<<64 - 1, Low: 1<<64 - 1, Payload: make([]byte, MaxCommand)})
	require.LessOrEqual(t, len(envelope), MaxEntryData)
}

// Every rule of a message's content bites, at the sender and at the receiver.
func TestMessageRules(t *testing.T) {
	entry := make([]byte, MaxEntryData+1)
	held := func(r ...BlockRange) *End {
		return &End{Reason: EndDone, Held: r, Head: Head{Blocks: 100}}
	}
	for name, m := range map[string]Message{
		"machine too long":         &Proof{Machine: string(make([]byte, maxMachine+1))},
		"machine not UTF-8":        &Accept{Machine: "\xff"},
		"field too long":           &Refuse{Field: string(make([]byte, maxField+1))},
		"value too long":           &Refuse{Theirs: string(make([]byte, maxReason+1))},
		"too many Raft messages":   &RaftBatch{Messages: make([][]byte, MaxRaftBatch+1)},
		"index too great":          &RemovedAt{Index: maxIndex + 1},
		"applied too great":        &Progress{RaftApplied: 1<<64 - 1},
		"blocks too great":         &Progress{Blocks: maxBlockNumber + 1},
		"no requester":             &AvailabilityRequest{},
		"too many sizes":           &AvailabilityRequest{Requester: bob, Sizes: make([]uint64, MaxSizes+1)},
		"size too great":           &AvailabilityRequest{Requester: bob, Sizes: []uint64{1<<64 - 1}},
		"held above head":          &AvailabilityReply{Held: []BlockRange{{From: 0, To: 1}}},
		"too many roots":           &AvailabilityReply{Roots: make([]SizedRoot, MaxSizes+1)},
		"root too far":             &AvailabilityReply{Roots: []SizedRoot{{Blocks: maxBlockNumber + 1}}},
		"head too far":             &AvailabilityReply{Head: Head{Blocks: maxBlockNumber + 1}},
		"committed too great":      &AvailabilityReply{Committed: Cursor{Index: maxIndex + 1}},
		"empty held range":         held(BlockRange{From: 5, To: 5}),
		"held out of order":        held(BlockRange{From: 5, To: 6}, BlockRange{From: 1, To: 2}),
		"held ranges that touch":   held(BlockRange{From: 5, To: 6}, BlockRange{From: 6, To: 7}),
		"too many held ranges":     held(manyHeld(MaxHeld + 1)...),
		"no reason":                &End{},
		"unknown reason":           &End{Reason: EndRefused + 1},
		"fetch of nothing":         &Fetch{},
		"fetch of an empty range":  &Fetch{Ranges: []WantRange{{From: 3, To: 3}}},
		"fetch too far":            &Fetch{Ranges: []WantRange{{From: 3, To: maxBlockNumber + 1}}},
		"tree too far":             &Fetch{Tree: maxBlockNumber + 1, Ranges: []WantRange{{From: 0, To: 1}}},
		"too many ranges":          &Extend{Ranges: repeat(MaxRanges+1, WantRange{From: 0, To: 1})},
		"trim too far":             &Trim{Place: maxBlockNumber + 1},
		"too many leaves":          &Leaves{Leaves: make([]Hash, ProofGroup+1)},
		"too many hashes":          &Leaves{Left: make([]Hash, maxFrontier+1)},
		"proof group too far":      &Leaves{Group: 1 << 60},
		"empty block":              &Blocks{},
		"block too large":          &Blocks{Data: make([]byte, MaxBlock+1)},
		"block number too great":   &Blocks{Number: maxBlockNumber + 1, Data: []byte{1}},
		"join without an id":       &Join{Role: RoleStandby},
		"join as voter":            &Join{RaftID: 1, Role: RoleVoter},
		"too many addresses":       &Join{RaftID: 1, Role: RoleStandby, Addrs: make([]string, MaxAddrs+1)},
		"address too long":         &Join{RaftID: 1, Role: RoleStandby, Addrs: []string{string(make([]byte, MaxAddrBytes+1))}},
		"too many commands":        &Propose{Commands: repeat(MaxProposals+1, []byte{1})},
		"empty command":            &Propose{Commands: [][]byte{{}}},
		"command too large":        &Propose{Commands: [][]byte{entry}},
		"commands too large":       &Propose{Commands: [][]byte{entry[:MaxProposal], {1}}},
		"no status":                &Answer{},
		"unknown status":           &Answer{Status: CallRemoved + 1},
		"no target":                &Retarget{},
		"too many voters":          &Retarget{Voters: MaxVoters + 1},
		"removed and a member":     &Answer{Status: CallOK, Config: Configuration{Index: 9, Members: []Member{{RaftID: 1, Peer: bob, Role: RoleVoter}}, Removed: []Removal{{RaftID: 1, Index: 9}}}},
		"removals out of order":    &Answer{Status: CallOK, Config: Configuration{Index: 9, Removed: []Removal{{RaftID: 1, Index: 9}, {RaftID: 2, Index: 9}}}},
		"removal after the end":    &Answer{Status: CallOK, Config: Configuration{Index: 9, Removed: []Removal{{RaftID: 1, Index: 10}}}},
		"reason not UTF-8":         &Answer{Status: CallOK, Reason: "\xc3"},
		"members out of order":     &Answer{Status: CallOK, Config: Configuration{Members: []Member{{RaftID: 2, Peer: bob, Role: RoleVoter}, {RaftID: 1, Peer: bob, Role: RoleVoter}}}},
		"member without an id":     &Answer{Status: CallOK, Config: Configuration{Members: []Member{{Peer: bob, Role: RoleVoter}}}},
		"member without a role":    &Answer{Status: CallOK, Config: Configuration{Members: []Member{{RaftID: 1, Peer: bob}}}},
		"member without a peer":    &Answer{Status: CallOK, Config: Configuration{Members: []Member{{RaftID: 1, Role: RoleVoter}}}},
		"target below 0":           &Answer{Status: CallOK, Config: Configuration{Target: -1}},
		"target too great":         &Answer{Status: CallOK, Config: Configuration{Target: MaxVoters + 1}},
		"too many recoveries":      &Proof{Before: repeat(MaxBefore+1, Recovery{Log: hashOf(1), Index: 2})},
		"recoveries out of order":  &Answer{Status: CallOK, Config: Configuration{Before: []Recovery{{Log: hashOf(1), Index: 9}, {Log: hashOf(2), Index: 9}}}},
		"recovery of no log":       &Answer{Status: CallOK, Config: Configuration{Before: []Recovery{{Index: 9}}}},
		"recovery as entry 1":      &Answer{Status: CallOK, Config: Configuration{Before: []Recovery{{Log: hashOf(1), Index: 1}}}},
		"end too great":            &Refuse{Field: "log", Ended: maxIndex + 1},
		"too many groups":          &Announcement{Peer: bob, Groups: make([]GroupTag, MaxGroups+1)},
		"group of an unknown role": &Announcement{Peer: bob, Groups: []GroupTag{{Role: RoleObserver + 1}}},
		"peer too long":            &Announcement{Peer: PeerID(make([]byte, maxPeer+1))},
	} {
		_, err := Encode(m)
		require.Error(t, err, name)
		data, err := encMode.Marshal(m)
		require.NoError(t, err, name)
		require.ErrorIs(t, Decode(data, newMessage(TypeOf(m))), ErrMessage, name)
	}
}

func manyHeld(n int) []BlockRange {
	out := make([]BlockRange, n)
	for i := range out {
		out[i] = BlockRange{From: 2 * uint64(i), To: 2*uint64(i) + 1}
	}
	return out
}

func TestConfigContextRules(t *testing.T) {
	for name, c := range map[string]ConfigContext{
		"no peer":          {},
		"unknown role":     {Peer: bob, Role: 4},
		"short nonce":      {Peer: bob, Nonce: []byte{1}},
		"target too great": {Peer: bob, Target: MaxVoters + 1},
		"target below 0":   {Peer: bob, Target: -1},
	} {
		_, err := EncodeConfigContext(c)
		require.Error(t, err, name)
		data, err := encMode.Marshal(c)
		require.NoError(t, err)
		_, err = DecodeConfigContext(data)
		require.ErrorIs(t, err, ErrMessage, name)
	}
}

// A list without items has one encoding, however it is held in memory, and an
// optional one has none.
func TestEmptyListsHaveOneEncoding(t *testing.T) {
	for _, pair := range [][2]Message{
		{&RaftBatch{}, &RaftBatch{Messages: [][]byte{}}},
		{&RaftBatch{Messages: [][]byte{nil}}, &RaftBatch{Messages: [][]byte{{}}}},
		{&AvailabilityReply{}, &AvailabilityReply{Held: []BlockRange{}, Roots: []SizedRoot{}}},
		{&Leaves{}, &Leaves{Leaves: []Hash{}, Left: []Hash{}, Right: []Hash{}}},
		{&Join{RaftID: 1, Role: RoleStandby}, &Join{RaftID: 1, Role: RoleStandby, Addrs: []string{}}},
		{&Answer{Status: CallOK}, &Answer{Status: CallOK, Config: Configuration{Members: []Member{}}}},
		{&Announcement{Peer: bob}, &Announcement{Peer: bob, Addrs: []string{}, Groups: []GroupTag{}}},
	} {
		a, err := Encode(pair[0])
		require.NoError(t, err)
		b, err := Encode(pair[1])
		require.NoError(t, err)
		require.Equal(t, a, b, "%T", pair[0])
		m := newMessage(TypeOf(pair[0]))
		require.NoError(t, Decode(a, m))
		again, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, a, again)
	}
}

func TestHashIsAByteString(t *testing.T) {
	data, err := encMode.Marshal(hashOf(0xee))
	require.NoError(t, err)
	require.Equal(t, append([]byte{0x58, 32}, bytes.Repeat([]byte{0xee}, 32)...), data)
}

// The Blocks message by hand equals the library's, both ways.
func TestBlocksEqualsLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Blocks{
			Lease:  rapid.Uint64().Draw(t, "lease"),
			Number: rapid.Uint64Range(0, maxBlockNumber).Draw(t, "number"),
			Zstd:   rapid.Bool().Draw(t, "zstd"),
			Data:   rapid.SliceOfN(rapid.Byte(), 1, 400).Draw(t, "data"),
		}
		want, err := Encode(&m)
		require.NoError(t, err)
		got := append(AppendBlocksHead(nil, m.Lease, m.Number, m.Zstd, len(m.Data)), m.Data...)
		require.Equal(t, want, got)
		require.LessOrEqual(t, len(got)-len(m.Data), blocksHeadMax)
		back, err := DecodeBlocks(got)
		require.NoError(t, err)
		require.Equal(t, m, back)
	})
}

// The command envelope by hand equals the library's.
func TestCommandEqualsLibrary(t *testing.T) {
	type wire struct {
		_       struct{} `cbor:",toarray"`
		Session uint64
		Seq     uint64
		Low     uint64
		Payload []byte
	}
	rapid.Check(t, func(t *rapid.T) {
		c := Command{
			Session: SessionID(rapid.Uint64Min(1).Draw(t, "session")),
			Seq:     rapid.Uint64Min(1).Draw(t, "seq"),
			Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"),
		}
		c.Low = rapid.Uint64Range(1, c.Seq).Draw(t, "low")
		want, err := encMode.Marshal(wire{Session: uint64(c.Session), Seq: c.Seq, Low: c.Low, Payload: c.Payload})
		require.NoError(t, err)
		got := AppendCommand(nil, c)
		require.Equal(t, want, got)
		back, err := DecodeCommand(got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(c.Payload, back.Payload))
		back.Payload = c.Payload
		require.Equal(t, c, back)
	})
}

func TestCommandRules(t *testing.T) {
	nonce := make([]byte, OpenNonce)
	for name, c := range map[string]Command{
		"opening with a number":      {Seq: 1, Payload: nonce},
		"opening with a low mark":    {Low: 1, Payload: nonce},
		"opening with a short nonce": {Payload: nonce[1:]},
		"low above seq":              {Session: 1, Seq: 1, Low: 2},
		"low of 0":                   {Session: 1, Seq: 1},
		"payload too large":          {Session: 1, Seq: 1, Low: 1, Payload: make([]byte, MaxCommand+1)},
	} {
		_, err := DecodeCommand(AppendCommand(nil, c))
		require.ErrorIs(t, err, ErrCommand, name)
	}
}

// JSON shows hashes and raft ids as text that reads back.
func TestIDsInJSON(t *testing.T) {
	type ids struct {
		Hash Hash
		Raft RaftID
	}
	in := ids{hashOf(0xab), 0xfedcba9876543210}
	text, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"Hash":"`+in.Hash.String()+`","Raft":"fedcba9876543210"}`, string(text))
	var out ids
	require.NoError(t, json.Unmarshal(text, &out))
	require.Equal(t, in, out)
	require.Error(t, json.Unmarshal([]byte(`{"Hash":"ab"}`), &out))
	require.Error(t, json.Unmarshal([]byte(`{"Raft":"ab"}`), &out))
	require.Error(t, json.Unmarshal([]byte(`{"Raft":"+edcba9876543210"}`), &out))
}
