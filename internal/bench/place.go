package bench

import (
	"crypto/rand"
	"net/url"
	"path/filepath"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/p2p"
)

// Names of every bench's network and group.
const (
	network = "bench"
	group   = "bench"
)

var groupID = codec.GroupIDOf(codec.NetworkIDOf(network), group)

// loopback is where the nodes of a bench listen.
var loopback = []string{"/ip4/127.0.0.1/tcp/0"}

// place is where a node keeps its things, and who it is in the group.
type place struct {
	Dir string // empty: in memory
	Key []byte // of the group
}

// ledgerOptions are those with which a node of id peer opens its ledger.
func (p place) ledgerOptions(peer codec.PeerID) ledger.Options {
	o := ledger.Options{Group: groupID, Peer: peer, Fold: actors.Fold, Memory: p.Dir == ""}
	if !o.Memory {
		o.Dir = filepath.Join(p.Dir, "groups", url.PathEscape(group))
	}
	fillRandom(o.Salt[:])
	return o
}

func fillRandom(b []byte) { _, _ = rand.Read(b) } // never fails

func newKey() []byte {
	key := make([]byte, p2p.GroupKeySize)
	fillRandom(key)
	return key
}

func (p place) groupConfig() logmesh.GroupConfig {
	return logmesh.GroupConfig{Name: group, Key: p.Key}
}

func (p place) nodeConfig(peers ...string) logmesh.Config {
	return logmesh.Config{Network: network, Data: p.Dir, Listen: loopback, Peers: peers}
}
