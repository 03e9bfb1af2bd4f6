//go:build !chaos

package main

import (
	"github.com/spf13/pflag"

	"github.com/logmesh/logmesh"
)

// chaosFlags are the flags of a build with the tag chaos: see chaos.go. This
// build has none.
type chaosFlags struct{}

func (*chaosFlags) add(*pflag.FlagSet) {}

func (chaosFlags) serve(*logmesh.Node) (stop func(), err error) { return func() {}, nil }
