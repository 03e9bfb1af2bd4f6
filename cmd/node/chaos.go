//go:build chaos

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/p2p"
)

// chaosFlags let who tries the node out cut its links.
type chaosFlags struct{ socket string }

func (f *chaosFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.socket, "chaos-socket", "", "Unix socket at `path` that cuts and mends links: block PEER…, mute PEER…, unblock [PEER…], status")
}

// serve answers commands on the socket until stop. A socket that a killed process
// left is replaced.
func (f chaosFlags) serve(node *logmesh.Node) (stop func(), err error) {
	if f.socket == "" {
		return func() {}, nil
	}
	_ = os.Remove(f.socket) // usually there is none
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		return nil, fmt.Errorf("the socket for chaos: %w", err)
	}
	s := &chaosServer{net: node.Net()}
	s.at.Go(func() { s.accept(l) })
	return func() {
		_ = l.Close() // it also removes the socket
		s.at.Wait()
	}, nil
}

// chaosServer takes one command in each connection: a line, answered by a line
// that begins with "ok" or "error".
type chaosServer struct {
	net *p2p.Net
	at  sync.WaitGroup
}

func (s *chaosServer) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		s.at.Go(func() {
			defer c.Close()                                    //nolint:errcheck // what was to be said was said
			_ = c.SetDeadline(time.Now().Add(2 * time.Second)) // so that stop does not wait for who says nothing
			line, err := bufio.NewReader(io.LimitReader(c, 64<<10)).ReadString('\n')
			if err != nil {
				return
			}
			_, _ = fmt.Fprintln(c, s.do(strings.Fields(line))) // who asked may be gone
		})
	}
}

func (s *chaosServer) do(words []string) string {
	if len(words) == 0 {
		return "error: no command"
	}
	peers := make([]codec.PeerID, 0, len(words))
	for _, w := range words[1:] {
		peers = append(peers, codec.PeerID(w))
	}
	var err error
	switch words[0] {
	case "block":
		err = s.net.Block(peers...)
	case "mute":
		err = s.net.Mute(peers...)
	case "unblock":
		err = s.net.Unblock(peers...)
	case "status":
		blocked, muted := s.net.Links()
		return fmt.Sprint("ok blocked ", blocked, " muted ", muted)
	default:
		err = fmt.Errorf("no such command: %s", words[0])
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return "ok"
}
