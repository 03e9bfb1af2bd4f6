package actors

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

const (
	followerID   = codec.RaftID(9)
	followerPeer = codec.PeerID("follower")
)

// follower is a member that answers heartbeats, has no entry, and does nothing
// with the MsgSnap that it is sent, as one that loses it.
type follower struct {
	leader *lone
	silent bool // it answers nothing

	mu      sync.Mutex
	snaps   []codec.Index // of each MsgSnap that was to be sent
	refused int           // so many more are not sent
}

// follow starts a leader with a horizon of one block, which has sealed some.
func follow(t *testing.T) *follower {
	t.Helper()
	l, err := ledger.Open(ledger.Options{
		Memory: true, Group: testGroup, Peer: self, Salt: [16]byte{1}, Fold: Fold, Logger: discard(), HorizonBlocks: 1,
	})
	require.NoError(t, err)
	require.NoError(t, Found(l, self, nil, 1, [codec.FoundingNonce]byte{1}))
	f := &follower{}
	net := &fakeNetwork{send: f.send}
	f.leader = newLoneOn(t, l, net)
	f.write(4)
	require.Greater(t, l.FirstIndex(), codec.Index(1), "the horizon has moved")
	return f
}

// write fills so many blocks.
func (f *follower) write(blocks int) {
	f.leader.t.Helper()
	for i := range blocks * codec.BlockEntries {
		f.leader.execute(fmt.Sprint(i))
	}
}

// join makes it a member, which said that it has the log up to at.
func (f *follower) join(at codec.Cursor) {
	f.leader.t.Helper()
	for range 10 {
		a := f.leader.Called(f.leader.t.Context(), followerPeer, &codec.Join{RaftID: followerID, Role: codec.RoleObserver, Cursor: at})
		if a.Status == codec.CallOK {
			return
		}
		time.Sleep(100 * time.Millisecond) // in a bubble
	}
	f.leader.t.Fatal("it did not become a member")
}

// send takes what the leader sends, and answers in a goroutine of its own.
func (f *follower) send(_ codec.RaftID, m codec.Message) bool {
	batch, ok := m.(*codec.RaftBatch)
	if !ok {
		return true
	}
	for _, data := range batch.Messages {
		m, parts := fieldsOf(data)
		if m[fieldType] == msgSnap {
			_, snapshot := fieldsOf(parts[fieldSnapshot])
			metadata, _ := fieldsOf(snapshot[fieldMetadata])
			if !f.take(codec.Index(metadata[fieldMetadataIndex])) {
				return false
			}
		}
		if !f.silent {
			go f.answer(m)
		}
	}
	return true
}

func (f *follower) take(snapshot codec.Index) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.snaps = append(f.snaps, snapshot)
	f.refused--
	return f.refused < 0
}

// taken lists the MsgSnap so far.
func (f *follower) taken() []codec.Index {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.snaps)
}

func (f *follower) answer(m map[protowire.Number]uint64) {
	r := map[protowire.Number]uint64{fieldFrom: uint64(followerID), fieldTo: m[fieldFrom], fieldTerm: m[fieldTerm]}
	switch m[fieldType] {
	case msgHeartbeat:
		r[fieldType] = msgHeartbeatResp
	case msgApp:
		r[fieldType], r[fieldIndex], r[fieldReject] = msgAppResp, m[fieldIndex], 1
	default:
		return
	}
	var data []byte
	for _, number := range slices.Sorted(maps.Keys(r)) {
		data = protowire.AppendVarint(protowire.AppendTag(data, number, protowire.VarintType), r[number])
	}
	f.say(&codec.RaftBatch{Messages: [][]byte{data}})
}

// Numbers of raftpb's fields and of its message types.
const (
	fieldType, fieldTo, fieldFrom, fieldTerm, fieldIndex, fieldSnapshot, fieldReject = 1, 2, 3, 4, 6, 9, 10
	fieldMetadata, fieldMetadataIndex                                                = 2, 2

	msgApp, msgAppResp, msgSnap, msgHeartbeat, msgHeartbeatResp = 3, 4, 7, 8, 9
)

// fieldsOf takes a protobuf message apart: its numbers and its parts.
func fieldsOf(data []byte) (numbers map[protowire.Number]uint64, parts map[protowire.Number][]byte) {
	numbers, parts = map[protowire.Number]uint64{}, map[protowire.Number][]byte{}
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		data = data[max(n, 0):]
		switch kind {
		case protowire.VarintType:
			numbers[field], n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			parts[field], n = protowire.ConsumeBytes(data)
		default:
			n = -1
		}
		if n < 0 {
			panic(fmt.Sprintf("field %d is of kind %d", field, kind))
		}
		data = data[n:]
	}
	return numbers, parts
}

func (f *follower) say(m codec.Message) {
	f.leader.RaftReceived(followerPeer, codec.RaftOpen{From: followerID, To: f.leader.cfg.Ledger.RaftID()}, m)
}

// A member that lost its MsgSnap gets another as soon as its bond is new.
func TestNewBondIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		f.leader.Bonded(followerPeer, codec.LogID{}, false)
		f.join(codec.Cursor{})
		time.Sleep(3 * time.Second)
		require.Len(t, f.taken(), 1)
		f.leader.Unbonded(followerPeer)
		f.leader.Bonded(followerPeer, codec.LogID{}, false)
		time.Sleep(time.Second)
		require.Len(t, f.taken(), 2)
	})
}

// A MsgSnap that was not sent is sent again.
func TestFailedSendIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		f.refused = 1
		f.join(codec.Cursor{})
		time.Sleep(3 * time.Second)
		require.Len(t, f.taken(), 2)
	})
}

// A member that reports progress is left to it; one that has been silent for ten
// seconds gets another MsgSnap.
func TestProgressIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		f.join(codec.Cursor{})
		time.Sleep(time.Second)
		require.Len(t, f.taken(), 1)
		for i := range uint64(15) {
			f.say(&codec.Progress{PendingSnapshot: f.taken()[0], Blocks: i + 1})
			time.Sleep(time.Second)
		}
		require.Len(t, f.taken(), 1)
		time.Sleep(11 * time.Second)
		require.Len(t, f.taken(), 2)
	})
}

// While a joiner's lease lasts, the horizon does not pass the cursor with which
// it joined.
func TestHorizonWaitsForJoiner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		f.silent = true
		at := f.leader.cfg.Ledger.HeadCursor()
		f.join(at)
		f.write(3)
		require.LessOrEqual(t, f.leader.cfg.Ledger.FirstIndex(), at.Index+1)
		time.Sleep(2 * time.Minute)
		f.write(1)
		require.Greater(t, f.leader.cfg.Ledger.FirstIndex(), at.Index+1, "the lease ended")
	})
}
