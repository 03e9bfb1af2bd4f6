package logmesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
)

// Result is what a command came to.
type Result struct {
	Index codec.Index // where it stands in the log
	Data  []byte      // the machine's result
}

// Execute writes a command, through whichever member leads, and waits until
// this node has applied it: exactly once, also when it has to be asked for
// again after a leader change. A command holds 1 to codec.MaxCommand bytes.
//
// Errors: *RejectedError if the machine refused it; *UnknownOutcomeError if ctx
// ended, or the group forgot the client session, before the answer came;
// ErrNoLeader if no leader took it before ctx ended, so that nothing happened, with
// a *NoQuorumError if too many voters are away; ErrClosed, ErrRemoved.
func (g *Group) Execute(ctx context.Context, command []byte) (Result, error) {
	call, err := g.actors.Begin(command)
	if err != nil {
		return Result{}, g.why(err)
	}
	return g.await(ctx, call)
}

// ExecuteAll writes commands without waiting for one before the next, and
// returns their results in order. They are applied in any order with respect to
// each other. The first error, if any, is returned beside the results of the
// others; each error is as Execute's and names the command's place.
func (g *Group) ExecuteAll(ctx context.Context, commands [][]byte) ([]Result, error) {
	calls := make([]*actors.Call, len(commands))
	results := make([]Result, len(commands))
	var first error
	keep := func(i int, err error) {
		if err != nil && first == nil {
			first = fmt.Errorf("command %d of %d: %w", i+1, len(commands), err)
		}
	}
	for i, c := range commands {
		call, err := g.actors.Begin(c)
		keep(i, g.why(err))
		calls[i] = call
	}
	for i, call := range calls {
		if call == nil {
			continue
		}
		var err error
		results[i], err = g.await(ctx, call)
		keep(i, err)
	}
	return results, first
}

func (g *Group) await(ctx context.Context, call *actors.Call) (Result, error) {
	o, maybe, err := g.actors.Await(ctx, call)
	switch {
	case err != nil && maybe:
		return Result{}, &UnknownOutcomeError{Cause: g.lacking(err)}
	case err != nil:
		return Result{}, fmt.Errorf("%w: %w", ErrNoLeader, g.lacking(err))
	case o.Err != nil && o.Maybe:
		return Result{}, &UnknownOutcomeError{Cause: g.why(o.Err)}
	case o.Err != nil:
		return Result{}, g.why(o.Err)
	case o.Rejected:
		return Result{}, &RejectedError{Index: o.Index, Reason: string(o.Data)}
	}
	return Result{Index: o.Index, Data: o.Data}, nil
}

// why is the reason why the group stopped, if it did, else err.
func (g *Group) why(err error) error {
	if errors.Is(err, actors.ErrStopped) {
		if cause := g.Err(); cause != nil {
			return fmt.Errorf("%w: %w", ErrClosed, cause)
		}
	}
	return translate(err)
}
