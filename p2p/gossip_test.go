package p2p

import (
	"context"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// A request that is broadcast reaches all members, and their replies come back,
// although each node knew only the first.
func TestRequestAndReply(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	c := start(t, 3, nil, a)
	asks := func(m *member) func() bool { return func() bool { return len(m.asked) > 0 } }
	require.Eventually(t, func() bool {
		require.NoError(t, c.group.Broadcast(codec.AvailabilityRequest{Nonce: 7, Sizes: []uint64{32}}))
		return see(a.recorder, asks(a)) && see(b.recorder, asks(b))
	}, patience, 100*time.Millisecond)
	req := see(b.recorder, func() codec.AvailabilityRequest { return b.asked[0] })
	require.Equal(t, codec.AvailabilityRequest{
		Group: c.group.id, Log: logID(1), Nonce: 7, Requester: c.id(), Sizes: []uint64{32},
	}, req)
	require.Empty(t, see(c.recorder, func() []codec.AvailabilityRequest { return c.asked }), "not our own")

	reply := codec.AvailabilityReply{
		Nonce: 7, Held: []codec.BlockRange{{From: 0, To: 3}}, Head: codec.Head{Blocks: 3, Last: 300},
	}
	for _, m := range []*member{a, b} {
		require.NoError(t, m.group.Reply(t.Context(), c.id(), reply))
		c.until(t, "a reply", func() bool { return len(c.replies[m.id()]) == 1 })
		require.Equal(t, reply.Held, c.replies[m.id()][0].Held)
	}
}

// A node that opens the group later than its peers is found too.
func TestGroupOpenedLater(t *testing.T) {
	n := startNet(t, config(1))
	b := start(t, 2, nil, &member{net: n})
	c := start(t, 3, nil, &member{net: n})
	bonded(t, b, c)
	a := open(t, n, nil)
	bonded(t, a, b, c)
}

func TestSeal(t *testing.T) {
	s := newSeal(groupKey(1), logID(1))
	sealed := s.close("author", []byte("hello"))
	plain, err := s.open("author", sealed)
	require.NoError(t, err)
	require.Equal(t, "hello", string(plain))
	require.NotEqual(t, sealed, s.close("author", []byte("hello")), "the nonce is fresh")
	for name, open := range map[string]func() ([]byte, error){
		"key":       func() ([]byte, error) { return newSeal(groupKey(2), logID(1)).open("author", sealed) },
		"group":     func() ([]byte, error) { return newSeal(groupKey(1), logID(2)).open("author", sealed) },
		"author":    func() ([]byte, error) { return s.open("other", sealed) },
		"cut":       func() ([]byte, error) { return s.open("author", sealed[:20]) },
		"cut later": func() ([]byte, error) { return s.open("author", sealed[:len(sealed)-1]) },
		"empty":     func() ([]byte, error) { return s.open("author", nil) },
	} {
		_, err := open()
		require.ErrorIs(t, err, errSealed, name)
	}
}

// Fault H5: which messages are passed on, which count against who passed them
// on, and which do not.
func TestRequestValidator(t *testing.T) {
	a := start(t, 1, nil)
	author := idOf(t, 2)
	name := codec.PeerID(author.String())
	s := newSeal(groupKey(1), a.group.id)
	request := func(change func(*codec.AvailabilityRequest)) []byte {
		m := codec.AvailabilityRequest{Group: a.group.id, Requester: name}
		if change != nil {
			change(&m)
		}
		plain, err := codec.Encode(&m)
		require.NoError(t, err)
		return plain
	}
	good := s.close(name, request(nil))
	check := func(seq byte, data []byte) pubsub.ValidationResult {
		return a.group.topic.validate(t.Context(), author, message(author, seq, data))
	}
	require.Equal(t, pubsub.ValidationAccept, check(5, good))
	require.Equal(t, pubsub.ValidationIgnore, check(5, good), "replayed")
	require.Equal(t, pubsub.ValidationIgnore, check(4, good), "older")
	require.Equal(t, pubsub.ValidationAccept, check(6, good), "repeated")
	require.Equal(t, pubsub.ValidationIgnore, check(7, newSeal(groupKey(2), a.group.id).close(name, request(nil))), "another key")
	require.Equal(t, pubsub.ValidationIgnore, check(7, s.close("other", request(nil))), "another author's seal")
	require.Equal(t, pubsub.ValidationReject, check(7, s.close(name, []byte{1, 2, 3})), "no message")
	require.Equal(t, pubsub.ValidationReject, check(7, s.close(name, request(func(m *codec.AvailabilityRequest) { m.Requester = "other" }))), "another requester")
	require.Equal(t, pubsub.ValidationReject, check(7, s.close(name, request(func(m *codec.AvailabilityRequest) { m.Group = logID(9) }))), "another group")
}

func TestAnnouncementValidator(t *testing.T) {
	a := startNet(t, config(1))
	author := idOf(t, 2)
	data := func(p codec.PeerID, seq uint64) []byte {
		b, err := codec.Encode(&codec.Announcement{Peer: p, Seq: seq})
		require.NoError(t, err)
		return b
	}
	name := codec.PeerID(author.String())
	check := func(data []byte) pubsub.ValidationResult {
		return a.ads.validate(context.Background(), author, message(author, 1, data))
	}
	require.Equal(t, pubsub.ValidationAccept, check(data(name, 10)))
	require.Equal(t, pubsub.ValidationIgnore, check(data(name, 10)), "replayed")
	require.Equal(t, pubsub.ValidationIgnore, check(data(name, 9)), "older")
	require.Equal(t, pubsub.ValidationReject, check(data("other", 11)), "for another peer")
	require.Equal(t, pubsub.ValidationReject, check([]byte("hello")), "no message")
	var ignored int
	for seq := range uint64(3 * authorBurst) {
		if check(data(name, 20+seq)) == pubsub.ValidationIgnore {
			ignored++
		}
	}
	require.Greater(t, ignored, authorBurst, "too many")
}

func message(author peer.ID, seq byte, data []byte) *pubsub.Message {
	return &pubsub.Message{Message: &pb.Message{From: []byte(author), Seqno: []byte{seq}, Data: data}}
}

func idOf(t *testing.T, b byte) peer.ID {
	t.Helper()
	key, err := identity(seed(b))
	require.NoError(t, err)
	p, err := peer.IDFromPrivateKey(key)
	require.NoError(t, err)
	return p
}

// Fault H4: subscriptions are limited to topics of ours, and in number.
func TestSubscriptionFilter(t *testing.T) {
	f := &filter{of: map[peer.ID]map[string]bool{}}
	require.True(t, f.CanSubscribe(networkTopics+logID(1).String()))
	require.True(t, f.CanSubscribe(groupTopics+logID(1).String()))
	require.False(t, f.CanSubscribe(groupTopics+"main"))
	require.False(t, f.CanSubscribe("/other/"+logID(1).String()))

	subs := func(from, to int) (out []*pb.RPC_SubOpts) {
		for i := from; i < to; i++ {
			topic, yes := groupTopics+codec.Hash{byte(i), byte(i >> 8)}.String(), true
			out = append(out, &pb.RPC_SubOpts{Topicid: &topic, Subscribe: &yes})
		}
		return out
	}
	got, err := f.FilterIncomingSubscriptions("p", subs(0, 30))
	require.NoError(t, err)
	require.Len(t, got, 30)
	got, err = f.FilterIncomingSubscriptions("p", subs(30, 60))
	require.NoError(t, err)
	require.Len(t, got, maxTopics-30)
	_, err = f.FilterIncomingSubscriptions("p", subs(0, 350))
	require.ErrorIs(t, err, errTopics)
	f.forget("p")
	require.Empty(t, f.of)
}

func TestSequencesAreBounded(t *testing.T) {
	s := newSequences()
	for i := range maxAuthors + 100 {
		require.True(t, s.grows(peer.ID(rune(i)), 1))
	}
	require.LessOrEqual(t, len(s.last), maxAuthors)
}

// A reply to a requester that cannot be reached yet waits for it a moment.
func TestReplyWaitsForItsRequester(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil)
	done := make(chan error, 1)
	go func() { done <- a.group.Reply(context.Background(), b.id(), codec.AvailabilityReply{Nonce: 3}) }()
	require.Eventually(t, func() bool {
		a.group.mu.Lock()
		defer a.group.mu.Unlock()
		l := a.group.links[b.net.id]
		return l != nil && l.keeping
	}, patience, tick, "the first attempt has failed")
	b.group.Know([]codec.Member{{RaftID: 1, Peer: a.id(), Role: codec.RoleVoter, Addrs: texts(a.net.host.Addrs())}})
	require.NoError(t, <-done)
	b.until(t, "the reply", func() bool { return len(b.replies[a.id()]) == 1 })
}
