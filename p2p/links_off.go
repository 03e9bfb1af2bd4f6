//go:build !chaos

package p2p

import (
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
)

// links is what a build with the tag chaos does to connections on purpose: see
// links.go. This build has nothing of it.
type links struct{}

func newLinks() links                    { return links{} }
func (links) options() []libp2p.Option   { return nil }
func (links) over(h host.Host) host.Host { return h }
