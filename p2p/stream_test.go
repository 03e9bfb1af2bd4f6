package p2p

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

func TestCall(t *testing.T) {
	a := start(t, 1, nil)
	a.called = func(_ context.Context, m codec.Message) codec.Answer {
		p, ok := m.(*codec.Propose)
		if !ok {
			return codec.Answer{Status: codec.CallRefused, Reason: fmt.Sprintf("%T", m)}
		}
		return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(p.Commands))}
	}
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	answer, err := b.group.Call(t.Context(), a.id(), &codec.Propose{Commands: [][]byte{{1}, {2}}})
	require.NoError(t, err)
	require.Equal(t, codec.CallOK, answer.Status)
	require.EqualValues(t, 2, answer.Index)
	for _, m := range []codec.Message{
		&codec.Join{RaftID: 1, Role: codec.RoleStandby}, &codec.Leave{RaftID: 1}, &codec.ReadIndex{}, &codec.Members{},
		&codec.Remove{RaftID: 1}, &codec.Promote{RaftID: 1, Instead: 2}, &codec.Transfer{RaftID: 1}, &codec.Retarget{Voters: 5},
	} {
		answer, err = b.group.Call(t.Context(), a.id(), m)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%T", m), answer.Reason)
	}
}

// A call makes the bond that it needs.
func TestCallBondsFirst(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil)
	b.net.host.Peerstore().AddAddrs(a.net.id, a.net.host.Addrs(), time.Minute)
	_, err := b.group.Call(t.Context(), a.id(), &codec.Members{})
	require.NoError(t, err)
	bonded(t, a, b)
}

// A call ends with its context, on both sides.
func TestCallEnds(t *testing.T) {
	a := start(t, 1, nil)
	begun := make(chan struct{})
	a.called = func(ctx context.Context, _ codec.Message) codec.Answer {
		close(begun)
		<-ctx.Done()
		return codec.Answer{Status: codec.CallUnavailable}
	}
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_, err := b.group.Call(ctx, a.id(), &codec.Members{})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, a.group.Close(), "the handler's context ends with the group")
}

func TestRaftStream(t *testing.T) {
	a := start(t, 1, nil)
	a.heard = func(m codec.Message) []codec.Message {
		if _, ok := m.(*codec.RaftBatch); ok {
			return []codec.Message{&codec.NotMe{Asked: 10, Mine: 11}, &codec.RemovedAt{Index: 3}}
		}
		return nil
	}
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	require.True(t, b.group.SendRaft(a.id(), 20, 10, &codec.RaftBatch{Messages: [][]byte{{1, 2}}}, false))
	require.True(t, b.group.SendRaft(a.id(), 20, 10, &codec.Progress{Blocks: 5}, true))
	a.until(t, "two messages", func() bool { return len(a.raft) == 2 })
	require.Equal(t, []codec.Message{&codec.RaftBatch{Messages: [][]byte{{1, 2}}}, &codec.Progress{Blocks: 5}}, a.raft)
	require.Len(t, a.opens, 1)
	open := a.opens[0]
	require.Equal(t, codec.RaftOpen{Group: a.group.id, Log: logID(1), Nonce: open.Nonce, From: 20, To: 10}, open)
	b.until(t, "answers", func() bool { return len(b.answers) == 2 })
	require.Equal(t, []codec.Message{&codec.NotMe{Asked: 10, Mine: 11}, &codec.RemovedAt{Index: 3}}, b.answers)

	// Another raft id, another stream; what was sent before still arrives.
	require.True(t, b.group.SendRaft(a.id(), 20, 11, &codec.RaftBatch{Messages: [][]byte{{3}}}, false))
	a.until(t, "a second opening", func() bool { return len(a.opens) == 2 && len(a.raft) == 3 })
	require.Equal(t, codec.RaftID(11), a.opens[1].To)
}

// Every message that is taken arrives, in order, while the bond stands.
func TestRaftStreamKeepsOrder(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	const n = 5000
	for i := range n {
		m := &codec.RaftBatch{Messages: [][]byte{{byte(i >> 8), byte(i)}}}
		require.True(t, b.group.SendRaft(a.id(), 1, 2, m, false))
	}
	var got [][]byte
	a.until(t, "all messages", func() bool {
		got = got[:0]
		for _, m := range a.raft {
			got = append(got, m.(*codec.RaftBatch).Messages...)
		}
		return len(got) == n
	})
	for i, m := range got {
		require.Equal(t, []byte{byte(i >> 8), byte(i)}, m)
	}
	require.Less(t, len(a.raft), n, "several travel in one frame")
}

// A raft stream whose other end went away is opened again.
func TestRaftStreamReturns(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	send := func() bool {
		return b.group.SendRaft(a.id(), 1, 2, &codec.RaftBatch{Messages: [][]byte{{1}}}, false)
	}
	require.True(t, send())
	a.until(t, "a message", func() bool { return len(a.raft) == 1 })
	a.group.mu.Lock()
	st := a.group.links[b.net.id].serving[protoRaft]
	a.group.mu.Unlock()
	require.NoError(t, st.ResetWithError(codeProtocol))
	require.Eventually(t, func() bool {
		send()
		return see(a.recorder, func() bool { return len(a.opens) == 2 && len(a.raft) > 1 })
	}, patience, tick)
}

func TestSendRaftWithoutBond(t *testing.T) {
	a := start(t, 1, nil)
	b := start(t, 2, nil)
	require.False(t, a.group.SendRaft(b.id(), 1, 2, &codec.RaftBatch{}, false))
	require.False(t, a.group.SendRaft("nonsense", 1, 2, &codec.RaftBatch{}, false))
}

func TestSync(t *testing.T) {
	a := start(t, 1, nil)
	a.sync = func(_ codec.PeerID, s Stream) {
		_, body, err := codec.ReadFrame(s, nil, codec.TypeCancel)
		if err != nil {
			return
		}
		frame := codec.AppendFrameHead(nil, codec.TypeCancel, len(body))
		_, _ = s.Write(append(frame, body...))
	}
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	s, err := b.group.OpenSync(t.Context(), a.id())
	require.NoError(t, err)
	frame, err := codec.AppendFrame(nil, &codec.Cancel{Lease: 7})
	require.NoError(t, err)
	_, err = s.Write(frame)
	require.NoError(t, err)
	_, body, err := codec.ReadFrame(s, nil, codec.TypeCancel)
	require.NoError(t, err)
	var m codec.Cancel
	require.NoError(t, codec.Decode(body, &m))
	require.EqualValues(t, 7, m.Lease)
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the stream is closed when the handler returns")
	require.NoError(t, s.Close())
}

// A second sync stream of a peer replaces the first.
func TestSecondSyncStreamReplacesTheFirst(t *testing.T) {
	a := start(t, 1, nil)
	ended := make(chan error, 2)
	a.sync = func(_ codec.PeerID, s Stream) {
		_, _ = s.Write([]byte{1})
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	first, err := b.group.OpenSync(t.Context(), a.id())
	require.NoError(t, err)
	_, err = io.ReadFull(first, make([]byte, 1))
	require.NoError(t, err)
	second, err := b.group.OpenSync(t.Context(), a.id())
	require.NoError(t, err)
	_, err = io.ReadFull(second, make([]byte, 1))
	require.NoError(t, err)
	require.Error(t, <-ended, "the first one's reader")
	_, err = first.Read(make([]byte, 1))
	require.ErrorIs(t, err, network.ErrReset)
	require.NoError(t, second.Close())
	require.Error(t, <-ended, "the second one's reader")
}

// A sync stream ends when the group is closed, on both sides.
func TestCloseEndsStreams(t *testing.T) {
	a := start(t, 1, nil)
	ended := make(chan error, 1)
	a.sync = func(_ codec.PeerID, s Stream) {
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	s, err := b.group.OpenSync(t.Context(), a.id())
	require.NoError(t, err)
	a.until(t, "the stream", func() bool {
		a.group.mu.Lock()
		defer a.group.mu.Unlock()
		return len(a.group.links[b.net.id].serving) == 1
	})
	require.NoError(t, a.group.Close())
	require.Error(t, <-ended)
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, network.ErrReset)
	b.until(t, "unbonded", func() bool { return len(b.bonds) == 0 })
}

// Fault H6: a stranger that opens the streams of a group is refused before any
// byte of them is read, whatever it sends.
func TestStrangerIsRefused(t *testing.T) {
	a := start(t, 1, nil)
	a.sync = func(codec.PeerID, Stream) { t.Error("a stranger was served") }
	a.called = func(context.Context, codec.Message) codec.Answer {
		t.Error("a stranger was answered")
		return codec.Answer{}
	}
	stranger := startNet(t, config(2))
	require.NoError(t, stranger.connect(t.Context(), a.net.id, a.net.host.Addrs()))
	open := &codec.Open{Group: a.group.id, Log: logID(1)}
	for proto, first := range map[protocol.ID]codec.Message{
		protoRaft: &codec.RaftOpen{Group: a.group.id, Log: logID(1), From: 1, To: 2},
		protoSync: open, protoReply: open, protoCall: open,
	} {
		for _, speaks := range []bool{true, false} {
			s, err := stranger.host.NewStream(t.Context(), a.net.id, proto)
			require.NoError(t, err, proto)
			if speaks {
				_ = sendTo(s, first) // the reset may be faster
			}
			_, err = s.Read(make([]byte, 1))
			require.ErrorIs(t, explain(err), ErrNotBonded, proto)
		}
	}
	require.Empty(t, a.raft)
	require.Empty(t, a.opens)
	require.Empty(t, a.replies)
}

// Fault H2: half a frame, and then silence; and a frame that lies about its length.
func TestSlowAndLyingStreamsAreReset(t *testing.T) {
	a := start(t, 1, nil)
	a.net.wait.open, a.net.wait.frame = 300*time.Millisecond, 300*time.Millisecond
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	open, err := codec.AppendFrame(nil, &codec.Open{Group: a.group.id, Log: logID(1)})
	require.NoError(t, err)
	raftOpen, err := codec.AppendFrame(nil, &codec.RaftOpen{Group: a.group.id, Log: logID(1), From: 1, To: 2})
	require.NoError(t, err)
	large := func(t codec.FrameType) []byte { return codec.AppendFrameHead(nil, t, 1<<30) }
	for name, test := range map[string]struct {
		proto protocol.ID
		bytes []byte
	}{
		"nothing":                {protoSync, nil},
		"half an Open":           {protoSync, open[:len(open)/2]},
		"a call without more":    {protoCall, open},
		"a reply without more":   {protoReply, open},
		"half a raft batch":      {protoRaft, append(raftOpen, byte(codec.TypeRaftBatch), 0, 0)},
		"a large Open":           {protoSync, large(codec.TypeOpen)},
		"a large batch":          {protoRaft, append(raftOpen, large(codec.TypeRaftBatch)...)},
		"a frame of another end": {protoRaft, append(raftOpen, open...)},
		"a large question":       {protoCall, append(open, large(codec.TypePropose)...)},
		"a batch that is no one": {protoRaft, append(raftOpen, byte(codec.TypeRaftBatch), 0, 0, 0, 1, 0xff)},
	} {
		s, err := b.net.host.NewStream(t.Context(), a.net.id, test.proto)
		require.NoError(t, err, name)
		_, err = s.Write(test.bytes)
		require.NoError(t, err, name)
		_ = s.SetReadDeadline(time.Now().Add(patience))
		_, err = s.Read(make([]byte, 1))
		require.ErrorIs(t, err, network.ErrReset, name)
	}
	require.Equal(t, []codec.PeerID{b.id()}, a.group.Bonds(), "the bond outlives a bad stream")
}

// Calls of one peer are bounded; more are told that the peer is busy.
func TestCallsAreBounded(t *testing.T) {
	a := start(t, 1, nil)
	a.group.calls.each = 1
	begun, done := make(chan struct{}), make(chan struct{})
	a.called = func(context.Context, codec.Message) codec.Answer {
		close(begun)
		<-done
		return codec.Answer{Status: codec.CallOK}
	}
	b := start(t, 2, nil, a)
	bonded(t, a, b)
	first := make(chan error, 1)
	go func() {
		_, err := b.group.Call(context.Background(), a.id(), &codec.Members{})
		first <- err
	}()
	<-begun
	_, err := b.group.Call(t.Context(), a.id(), &codec.Members{})
	require.ErrorIs(t, err, ErrBusy)
	close(done)
	require.NoError(t, <-first)
}

// BenchmarkSyncStream is the rate of one sync stream over loopback.
func BenchmarkSyncStream(b *testing.B) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		b.Run(protocolName(listen), func(b *testing.B) {
			cfg := config(1)
			cfg.Listen = []string{listen}
			server := open(b, startNet(b, cfg), nil)
			block := make([]byte, 256<<10)
			server.sync = func(_ codec.PeerID, s Stream) {
				for range b.N {
					if _, err := s.Write(block); err != nil {
						return
					}
				}
			}
			client := open(b, startNet(b, config(2, server.net.Addrs()...)), nil)
			bonded(b, server, client)
			b.SetBytes(int64(len(block)))
			b.ResetTimer()
			s, err := client.group.OpenSync(b.Context(), server.id())
			require.NoError(b, err)
			buf := make([]byte, len(block))
			for range b.N {
				_, err := io.ReadFull(s, buf)
				require.NoError(b, err)
			}
			b.StopTimer()
			_ = s.Close() // the other side has closed it
		})
	}
}

func protocolName(listen string) string {
	if len(listen) > 22 {
		return "quic"
	}
	return "tcp"
}
