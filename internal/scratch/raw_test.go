package scratch

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
)

func mk(kind string) host.Host {
	config := *yamux.DefaultTransport.Config()
	config.InitialStreamWindowSize = 4 << 20
	opts := []libp2p.Option{libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()), libp2p.Muxer(yamux.ID, (*yamux.Transport)(&config)), libp2p.DisableMetrics()}
	switch kind {
	case "noise":
		opts = append(opts, libp2p.Security(noise.ID, noise.New))
	case "tls":
		opts = append(opts, libp2p.Security(tls.ID, tls.New))
	case "none":
		opts = append(opts, libp2p.NoSecurity)
	case "quic":
		opts = []libp2p.Option{libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.Transport(quic.NewTransport), libp2p.DisableMetrics()}
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		panic(err)
	}
	return h
}

func TestRaw(t *testing.T) {
	for round := 0; round < 2; round++ {
	for _, kind := range []string{"noise", "tls", "none", "quic"} {
		for _, chunk := range []int{16 << 10, 64 << 10, 256<<10} {
			a, b := mk(kind), mk(kind)
			const total = 400 << 20
			a.SetStreamHandler("/x", func(s network.Stream) {
				buf := make([]byte, chunk)
				for n := 0; n < total; n += chunk {
					if _, err := s.Write(buf); err != nil {
						return
					}
				}
				s.Close()
			})
			if err := b.Connect(context.Background(), peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()}); err != nil {
				t.Fatal(err)
			}
			s, err := b.NewStream(context.Background(), a.ID(), "/x")
			if err != nil {
				t.Fatal(err)
			}
			s.Write([]byte{1})
			start := time.Now()
			buf := make([]byte, 256<<10)
			n := 0
			for {
				k, err := s.Read(buf)
				n += k
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			fmt.Printf("%s chunk %d: %.0f MB/s\n", kind, chunk, float64(n)/1e6/time.Since(start).Seconds())
			a.Close()
			b.Close()
		}
	}
	}
}
