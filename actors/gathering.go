package actors

import (
	"time"

	"github.com/logmesh/logmesh/codec"
)

// due reports whether a call is to be proposed, for the first time or again.
func (call *Call) due(now time.Time) bool {
	return call.proposed.IsZero() || now.Sub(call.proposed) >= repeatAfter
}

// gathering is a Propose that grows.
type gathering struct {
	now      time.Time
	commands [][]byte
	calls    []*Call
	size     int // bytes of commands
}

// add reports whether there was room.
func (b *gathering) add(call *Call, data []byte) bool {
	if b.size > 0 && b.size+len(data) > codec.MaxProposal || len(b.calls) == codec.MaxProposals {
		return false
	}
	b.size += len(data)
	b.commands, b.calls = append(b.commands, data), append(b.calls, call)
	if call != nil {
		call.flying = true
	}
	return true
}
