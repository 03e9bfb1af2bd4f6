package p2ptest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/logmesh/logmesh/codec"
)

// dialsAtOnce is how many connections a Flood opens at a time.
const dialsAtOnce = 16

// Flood is a peer that opens connections and streams on real links and never lets
// go of one by itself. It has no limits of its own, and says nothing on its streams
// but the first byte of a negotiation.
type Flood struct {
	host host.Host
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns []transport.CapableConn
}

// NewFlood makes the peer. Close ends it.
func NewFlood() (*Flood, error) {
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return nil, err
	}
	return &Flood{host: h}, nil
}

// ID is the peer's.
func (f *Flood) ID() codec.PeerID { return codec.PeerID(f.host.ID().String()) }

// Close ends all connections.
func (f *Flood) Close() error {
	f.mu.Lock()
	conns := f.conns
	f.conns = nil
	f.mu.Unlock()
	var errs []error
	for _, c := range conns {
		_ = c.Close() // most were closed by the other side
	}
	errs = append(errs, f.host.Close())
	f.wg.Wait()
	return errors.Join(errs...)
}

// Connect tries to open n connections to a node, at an address with /p2p, and
// returns how many got through the handshakes.
func (f *Flood) Connect(ctx context.Context, addr string, n int) (opened int, err error) {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return 0, err
	}
	sw, ok := f.host.Network().(*swarm.Swarm)
	if !ok {
		return 0, fmt.Errorf("the network is a %T", f.host.Network())
	}
	t := sw.TransportForDialing(info.Addrs[0])
	if t == nil {
		return 0, fmt.Errorf("no transport for %s", addr)
	}
	var wg sync.WaitGroup
	var got atomic.Int64
	for range dialsAtOnce {
		wg.Go(func() {
			for range n / dialsAtOnce {
				if f.dial(ctx, t, info.Addrs[0], info.ID) {
					got.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(got.Load()), ctx.Err()
}

func (f *Flood) dial(ctx context.Context, t transport.Transport, addr ma.Multiaddr, id peer.ID) bool {
	c, err := t.Dial(ctx, addr, id)
	if err != nil {
		return false
	}
	f.mu.Lock()
	f.conns = append(f.conns, c)
	f.mu.Unlock()
	f.wg.Go(func() { // what the node opens is taken, and never answered
		for {
			if _, err := c.AcceptStream(); err != nil {
				return
			}
		}
	})
	return true
}

// Open tries to open n streams on the connections that stand, in turn, and returns
// how many it could ask for.
func (f *Flood) Open(ctx context.Context, n int) (opened int) {
	for i := 0; opened < n && ctx.Err() == nil; i++ {
		live := f.live()
		if len(live) == 0 {
			return opened
		}
		s, err := live[i%len(live)].OpenStream(ctx)
		if err != nil {
			continue
		}
		opened++
		_, _ = s.Write([]byte{19}) // the length of "/multistream/1.0.0\n", which does not follow
	}
	return opened
}

func (f *Flood) live() (live []transport.CapableConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		if !c.IsClosed() {
			live = append(live, c)
		}
	}
	f.conns = append(f.conns[:0], live...)
	return live
}

// Watch sees what peers have open at a node.
type Watch struct{ host atomic.Pointer[host.Host] }

// Over looks at a host: see p2p.Config.Over.
func (w *Watch) Over(h host.Host) host.Host {
	w.host.Store(&h)
	return h
}

// Of is how many connections a peer has with the node, and how many streams it
// opened there.
func (w *Watch) Of(id codec.PeerID) (conns, streams int) {
	p, err := peer.Decode(string(id))
	h := w.host.Load()
	if err != nil || h == nil {
		return 0, 0
	}
	for _, c := range (*h).Network().ConnsToPeer(p) {
		conns++
		for _, s := range c.GetStreams() {
			if s.Stat().Direction == network.DirInbound {
				streams++
			}
		}
	}
	return conns, streams
}
