package p2p

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/pnet"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
)

// streamWindow is what a stream may send before its first window update comes
// back, in bytes. yamux's own 256 KiB cost a stream its first round trips.
const streamWindow = 4 << 20

// Connections. Beyond connsHigh those of peers that are nothing to us are cut
// until connsLow are left; members and bootstrap peers are protected.
const (
	connsLow   = 192
	connsHigh  = 256
	connsMax   = 1024 // of all peers, whatever happens
	connsPeer  = 8    // of one peer
	connsIP    = 64   // of one IPv4 address or IPv6 /56, loopback excepted
	connsIPPer = 8    // new ones of one such address, per second
	streamsMax = 16384
	streamsOf  = 256  // of one peer
	streamsNew = 4096 // of all peers, that did not say yet what they are for
	memoryMax  = 2 << 30
	memoryPeer = 512 << 20
)

// newHost makes the libp2p host, with more options than those of cfg, and
// listens. TCP ports are never shared: with SO_REUSEPORT a second process would
// seem to listen on a port that is taken.
func newHost(cfg *Config, more ...libp2p.Option) (host.Host, error) {
	listen := make([]ma.Multiaddr, 0, len(cfg.Listen))
	for _, s := range cfg.Listen {
		addr, err := ParseListen(s)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		listen = append(listen, addr)
	}
	opts, err := hostOptions(cfg)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("libp2p: %w", err)
	}
	// One by one: Network.Listen is content when one of them succeeds, and hides
	// the cause when none does.
	for _, addr := range listen {
		if err := h.Network().(*swarm.Swarm).AddListenAddr(addr); err != nil {
			return nil, errors.Join(listenError(cfg, addr, err), h.Close())
		}
	}
	return h, nil
}

func hostOptions(cfg *Config) ([]libp2p.Option, error) {
	key, err := identity(cfg.Key)
	if err != nil {
		return nil, err
	}
	limits, err := newLimits()
	if err != nil {
		return nil, fmt.Errorf("resource limits: %w", err)
	}
	conns, err := connmgr.NewConnManager(connsLow, connsHigh, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.NoListenAddrs,
		libp2p.Security(noise.ID, noise.New),
		libp2p.Security(tls.ID, tls.New),
		libp2p.Muxer(yamux.ID, muxer()),
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.UserAgent("logmesh"),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.Ping(false),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials)),
	}
	if len(cfg.NetworkKey) != 0 {
		return append(opts, libp2p.PrivateNetwork(pnet.PSK(cfg.NetworkKey))), nil
	}
	return append(opts, libp2p.Transport(quic.NewTransport)), nil
}

// rankDials tries TCP first: over it a stream is several times as fast as over
// QUIC, which gets its turn when TCP has not answered for a while.
func rankDials(addrs []ma.Multiaddr) []network.AddrDelay {
	out := make([]network.AddrDelay, len(addrs))
	for i, addr := range addrs {
		out[i].Addr = addr
		if _, err := addr.ValueForProtocol(ma.P_TCP); err != nil {
			out[i].Delay = 300 * time.Millisecond
		}
	}
	return out
}

// muxer is a private copy of the yamux transport with a larger first window.
func muxer() *yamux.Transport {
	config := *yamux.DefaultTransport.Config()
	config.InitialStreamWindowSize = streamWindow
	return (*yamux.Transport)(&config)
}

func newLimits() (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	wide := rcmgr.ResourceLimits{
		Conns: connsMax, ConnsInbound: connsMax / 2, ConnsOutbound: connsMax, FD: connsMax,
		Streams: streamsMax, StreamsInbound: streamsMax / 2, StreamsOutbound: streamsMax, Memory: memoryMax,
	}
	one := rcmgr.ResourceLimits{
		Conns: connsPeer, ConnsInbound: connsPeer, ConnsOutbound: connsPeer, FD: connsPeer,
		Streams: streamsOf, StreamsInbound: streamsOf, StreamsOutbound: streamsOf, Memory: memoryPeer,
	}
	partial := rcmgr.PartialLimitConfig{
		System: wide, PeerDefault: one,
		ProtocolDefault: wide, ProtocolPeerDefault: one,
		ServiceDefault: wide, ServicePeerDefault: one,
		Transient: rcmgr.ResourceLimits{
			Conns: connsMax / 4, ConnsInbound: connsMax / 8, ConnsOutbound: connsMax / 8, FD: connsMax / 4,
			Streams: 2 * streamsNew, StreamsInbound: streamsNew, StreamsOutbound: streamsNew,
			Memory: memoryMax / 8,
		},
	}
	return rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(partial.Build(scaling.AutoScale())),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connsIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: connsIP}, {PrefixLength: 48, ConnCount: 4 * connsIP}}),
		rcmgr.WithNetworkPrefixLimit(
			[]rcmgr.NetworkPrefixLimit{{Network: netip.MustParsePrefix("127.0.0.0/8"), ConnCount: math.MaxInt}},
			[]rcmgr.NetworkPrefixLimit{{Network: netip.MustParsePrefix("::1/128"), ConnCount: math.MaxInt}}),
		rcmgr.WithConnRateLimiters(newRates()),
	)
}

// newRates bounds how fast one address may connect: often enough for a member
// that restarts, and for several members behind one address.
func newRates() *rate.Limiter {
	per := rate.Limit{RPS: connsIPPer, Burst: connsIP}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")},
			{Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: per}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: per}},
			GracePeriod:      time.Minute,
		},
	}
}

func listenError(cfg *Config, addr ma.Multiaddr, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: the port is taken by another program or node", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: this machine does not have the address", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: not allowed to take the port", addr)
	case len(cfg.NetworkKey) != 0:
		if _, udp := addr.ValueForProtocol(ma.P_UDP); udp == nil {
			return fmt.Errorf("listen on %s: a private network uses TCP only", addr)
		}
	}
	return fmt.Errorf("listen on %s: %w", addr, err)
}
