package p2ptest

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"github.com/logmesh/logmesh/p2p"
)

// Mbit is a rate, in bits a second.
const Mbit = 1_000_000

// Link is a place's connection to the network, in bits a second.
type Link struct{ Up, Down int }

// Network is links that meet in one router. It works in one synctest bubble.
type Network struct {
	sim *simnet.Simnet

	mu  sync.Mutex
	cut map[string]bool // addresses that nothing reaches
}

// never is after the end of every bubble.
const never = 365 * 24 * time.Hour

// New makes a network in which a packet from any place to any other and its
// answer take a round trip, besides what the links take. Close ends it.
func New(roundTrip time.Duration) *Network {
	n := &Network{cut: map[string]bool{}}
	n.sim = &simnet.Simnet{
		LatencyFunc: func(p *simnet.Packet) time.Duration {
			if n.lost(p) {
				return never
			}
			return roundTrip / 2
		},
		Logger: slog.New(slog.DiscardHandler), // packets to hosts that are closed
	}
	n.sim.Start()
	return n
}

func (n *Network) lost(p *simnet.Packet) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.cut) > 0 && (n.cut[p.From.String()] || n.cut[p.To.String()])
}

// Cut loses everything that goes to or comes from places, until Mend.
func (n *Network) Cut(places ...int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range places {
		n.cut[(&net.UDPAddr{IP: address(p), Port: port}).String()] = true
	}
}

// Mend ends all cuts.
func (n *Network) Mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
}

// Close ends the network. Its hosts must be closed before.
func (n *Network) Close() { n.sim.Close() }

const port = 8000

// Listen is the address of a place, numbered from 0.
func Listen(place int) string {
	return fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", address(place), port)
}

func address(place int) net.IP { return simnet.IntToPublicIPv4(place) }

// Connect makes the node that cfg is for listen at a place, over a link.
func (n *Network) Connect(cfg *p2p.Config, place int, l Link) {
	cfg.Listen = []string{Listen(place)}
	cfg.HostOptions = append(cfg.HostOptions, n.option(l))
}

func (n *Network) option(l Link) libp2p.Option {
	return simlibp2p.QUICSimnet(n.sim, simnet.NodeBiDiLinkSettings{
		Uplink:   simnet.LinkSettings{BitsPerSecond: l.Up},
		Downlink: simnet.LinkSettings{BitsPerSecond: l.Down},
	})
}

// host is a plain libp2p host at a place.
func (n *Network) host(place int, l Link) (host.Host, error) {
	return libp2p.New(
		libp2p.ListenAddrStrings(Listen(place)),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		n.option(l),
	)
}
