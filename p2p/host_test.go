package p2p

import (
	"context"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// The error names the part of the multiaddr that is bad.
func TestBadAddresses(t *testing.T) {
	id := idOf(t, 1).String()
	for _, test := range []struct{ listen, peer, want string }{
		{listen: "127.0.0.1:4001", want: "must begin with a slash"},
		{listen: "", want: "must begin with a slash"},
		{listen: "/ip4/127.0.0.1/tcp/99999", want: "part /tcp/99999"},
		{listen: "/ip4/localhost/tcp/1", want: "part /ip4/localhost"},
		{listen: "/ip4/127.0.0.1/tpc/1", want: `part "tpc" is no known protocol`},
		{listen: "/ip4/127.0.0.1/tcp", want: "part /tcp has no value"},
		{listen: "/ip4/127.0.0.1/tcp/0/p2p/" + id, want: "part /p2p names a peer"},
		{listen: "/ip4/127.0.0.1/tcp/0/ws", want: "listen on /ip4/127.0.0.1/tcp/0/ws"},
		{peer: "/ip4/127.0.0.1/tcp/1", want: "must end in /p2p/"},
		{peer: "/ip4/127.0.0.1/tcp/1/p2p/nobody", want: "part /p2p/nobody"},
		{peer: "/p2p/" + id, want: "nothing stands before /p2p"},
	} {
		cfg := config(1)
		if test.peer != "" {
			cfg.Peers = []string{test.peer}
		} else {
			cfg.Listen = []string{test.listen}
		}
		n, err := New(context.Background(), cfg)
		require.Nil(t, n)
		require.ErrorContains(t, err, test.want)
		require.ErrorContains(t, err, test.listen+test.peer)
		require.NotContains(t, err.Error(), "%!")
	}
}

func TestParsePeer(t *testing.T) {
	id, err := PeerIDOf(seed(1))
	require.NoError(t, err)
	require.Equal(t, idOf(t, 1).String(), string(id))
	got, err := ParsePeer("/dns4/example.org/udp/4001/quic-v1/p2p/" + string(id))
	require.NoError(t, err)
	require.Equal(t, id, got)
	_, err = PeerIDOf([]byte{1})
	require.Error(t, err)
}

// A port is never shared, over TCP or QUIC, in one process or several.
func TestPortTaken(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		cfg := config(1)
		cfg.Listen = []string{listen}
		n := startNet(t, cfg)
		addr := strings.Split(n.Addrs()[0], "/p2p/")[0]
		cfg = config(2)
		cfg.Listen = []string{"/ip4/127.0.0.1/tcp/0", addr}
		_, err := New(context.Background(), cfg)
		require.ErrorContains(t, err, "listen on "+addr+": the port is taken")
	}
}

func TestAddressOfAnotherMachine(t *testing.T) {
	cfg := config(1)
	cfg.Listen = []string{"/ip4/192.0.2.1/tcp/0"}
	_, err := New(context.Background(), cfg)
	require.ErrorContains(t, err, "this machine does not have the address")
}

func TestConfigIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"seed has 3 bytes":        func(c *Config) { c.Key = []byte{1, 2, 3} },
		"network has no name":     func(c *Config) { c.Network = "" },
		"network key has 1 bytes": func(c *Config) { c.NetworkKey = []byte{1} },
	} {
		cfg := config(1)
		change(&cfg)
		_, err := New(context.Background(), cfg)
		require.ErrorContains(t, err, want)
	}
	n := startNet(t, config(1))
	for want, change := range map[string]func(*GroupConfig){
		"group has no name":     func(c *GroupConfig) { c.Name = "" },
		"group key has 2 bytes": func(c *GroupConfig) { c.Key = []byte{1, 2} },
		"needs Log":             func(c *GroupConfig) { c.Log = nil },
	} {
		cfg := groupConfig(newRecorder())
		change(&cfg)
		_, err := n.OpenGroup(cfg)
		require.ErrorContains(t, err, want)
	}
	open(t, n, nil)
	_, err := n.OpenGroup(groupConfig(newRecorder()))
	require.ErrorContains(t, err, "open already")
}

// Two nodes meet over QUIC alone.
func TestQUIC(t *testing.T) {
	cfg := config(1)
	cfg.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	a := open(t, startNet(t, cfg), nil)
	cfg = config(2, a.net.Addrs()...)
	cfg.Listen = cfg.Listen[:0]
	b := open(t, startNet(t, cfg), nil)
	bonded(t, a, b)
	_, err := b.group.Call(t.Context(), a.id(), &codec.Members{})
	require.NoError(t, err)
}

// The wrong group key is told apart over QUIC too, where resets travel
// differently.
func TestWrongKeyOverQUIC(t *testing.T) {
	cfg := config(1)
	cfg.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	a := open(t, startNet(t, cfg), nil)
	b := open(t, startNet(t, config(2, a.net.Addrs()...)), func(c *GroupConfig) { c.Key = groupKey(2) })
	for _, m := range []*member{a, b} {
		m.until(t, "wrong key", func() bool { return len(m.refusals) == 1 })
	}
	require.ErrorIs(t, see(b.recorder, func() error { return b.refusals[a.id()][0] }), ErrWrongKey)
}

// A private network lets in who has its key, and has no QUIC.
func TestPrivateNetwork(t *testing.T) {
	key := func(b byte) func(*Config) {
		return func(c *Config) { c.NetworkKey = make([]byte, NetworkKeySize); c.NetworkKey[0] = b }
	}
	node := func(id byte, change func(*Config), peers ...string) *member {
		cfg := config(id, peers...)
		change(&cfg)
		return open(t, startNet(t, cfg), nil)
	}
	a := node(1, key(1))
	b := node(2, key(1), a.net.Addrs()...)
	stranger := node(3, key(2), a.net.Addrs()...)
	bonded(t, a, b)
	require.Error(t, stranger.net.connect(t.Context(), a.net.id, a.net.host.Addrs()))

	cfg := config(4)
	key(1)(&cfg)
	cfg.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	_, err := New(context.Background(), cfg)
	require.ErrorContains(t, err, "a private network uses TCP only")
}

// The window is larger on our copy of the transport, and only there.
func TestMuxerIsAPrivateCopy(t *testing.T) {
	require.EqualValues(t, streamWindow, muxer().Config().InitialStreamWindowSize)
	require.EqualValues(t, 256<<10, yamux.DefaultTransport.Config().InitialStreamWindowSize)
}

// Dozens of nodes may share a machine.
func TestManyNodesOnLoopback(t *testing.T) {
	const n = 12
	first := start(t, 1, nil)
	for i := 2; i <= n; i++ {
		start(t, byte(i), nil, first)
	}
	first.until(t, "all bonds", func() bool { return len(first.bonds) == n-1 })
}

func TestClosedTwice(t *testing.T) {
	a := start(t, 1, nil)
	require.NoError(t, a.group.Close())
	require.NoError(t, a.group.Close())
	require.ErrorIs(t, a.group.Broadcast(codec.AvailabilityRequest{}), ErrClosed)
	_, err := a.group.OpenSync(t.Context(), codec.PeerID(idOf(t, 2).String()))
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, a.net.Close())
	require.NoError(t, a.net.Close())
	_, err = a.net.OpenGroup(groupConfig(newRecorder()))
	require.ErrorIs(t, err, ErrClosed)
}
