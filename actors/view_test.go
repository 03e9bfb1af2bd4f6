package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// A member's rate is what its machine applied between two reports; the first one,
// and one that goes back (its machine was started anew), say nothing of it.
func TestRateOfMember(t *testing.T) {
	begun := time.Now()
	s := Said{Progress: codec.Progress{MachineApplied: 100}, at: begun}
	require.InDelta(t, 50, s.rate(codec.Progress{MachineApplied: 200}, begun.Add(2*time.Second)), 0.001)
	require.Zero(t, s.rate(codec.Progress{MachineApplied: 50}, begun.Add(2*time.Second)))
	require.Zero(t, s.rate(codec.Progress{MachineApplied: 200}, begun))
	require.Zero(t, Said{}.rate(codec.Progress{MachineApplied: 200}, begun))
}
