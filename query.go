package logmesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
)

// Read says how fresh a query's answer has to be. The zero value is Strong.
type Read struct {
	local bool
	after codec.Index
}

// Strong reads are linearizable through any member: the answer holds everything
// that was acknowledged, by anybody, before the query began. They take one round
// trip to the leader, shared by the reads of a moment, and one of the leader to
// a quorum (thesis, section 6.4). A cut-off leader never answers one.
var Strong = Read{}

// Local reads answer from this node's state, which may be behind; the answer
// says by its index how far it was.
var Local = Read{local: true}

// After reads answer from this node's state once it has applied index i: after
// one's own write, i is its Result.Index.
func After(i codec.Index) Read { return Read{local: true, after: i} }

// Answer is a query's answer.
type Answer struct {
	Index codec.Index // the machine had applied this much
	Data  []byte
}

// Query asks the machine. Errors: the machine's; ErrNoLeader when a strong read
// found no leader, with a *NoQuorumError if too many voters are away; ctx's;
// ErrClosed.
func (g *Group) Query(ctx context.Context, query []byte, at Read) (Answer, error) {
	index := at.after
	if !at.local {
		var err error
		index, err = g.actors.ReadIndex(ctx)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, actors.ErrNoLeader) {
			err = fmt.Errorf("%w: %w", ErrNoLeader, g.lacking(err))
		}
		if err != nil {
			return Answer{}, g.why(err)
		}
	}
	data, applied, err := g.actors.Query(ctx, query, index)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("index %d is not applied on this node yet: %w", index, err)
	}
	return Answer{Index: applied, Data: data}, g.why(err)
}
