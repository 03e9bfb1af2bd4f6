//go:build chaos

package logmesh

import "github.com/logmesh/logmesh/p2p"

// Net is the node's network, whose links a build with the tag chaos can cut.
func (n *Node) Net() *p2p.Net { return n.net }
