// Package seam is how tests of this module put something else under a node: a
// simulated network, a file system that was filled beforehand. It rides on the
// contexts of logmesh.Open and Node.Join, so that the public configuration knows
// nothing of it, nor of the libraries behind it.
package seam

import (
	"context"

	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/p2p"
)

// Layers change what the layers below a node are opened with. The zero value
// changes nothing.
type Layers struct {
	// Net is given what logmesh.Open opens the network with.
	Net func(*p2p.Config)
	// Disk is given what Node.Join opens the ledger with.
	Disk func(*ledger.Options)
}

type key struct{}

// With is ctx with layers for what is opened with it.
func With(ctx context.Context, l Layers) context.Context {
	return context.WithValue(ctx, key{}, l)
}

// Of is what With put into ctx.
func Of(ctx context.Context) Layers {
	l, _ := ctx.Value(key{}).(Layers)
	return l
}

// P2P changes cfg.
func (l Layers) P2P(cfg *p2p.Config) {
	if l.Net != nil {
		l.Net(cfg)
	}
}

// Ledger changes opts.
func (l Layers) Ledger(opts *ledger.Options) {
	if l.Disk != nil {
		l.Disk(opts)
	}
}
