package actors

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/codec"
)

// PendingError says that ctx ended before a change of the membership was seen to
// be done.
type PendingError struct {
	Why   string // what the leader said last; empty: no leader was reached
	Maybe bool   // a leader may have it, so it may yet be done
	Cause error  // that of ctx
}

func (e *PendingError) Error() string {
	if e.Why == "" {
		return "no leader answered: " + e.Cause.Error()
	}
	return fmt.Sprintf("not done yet (%s): %v", e.Why, e.Cause)
}

func (e *PendingError) Unwrap() error { return e.Cause }

// Change asks the leader, whoever it is, for a change of the membership, a
// *codec.Leave, Remove, Promote, Transfer or Retarget, again until it is done.
// Errors: a *RefusedError with the leader's reason, *PendingError, ErrStopped.
func (g *Group) Change(ctx context.Context, m codec.Message) (codec.Configuration, error) {
	pending := &PendingError{}
	for {
		if !g.started.Load() || g.ctx.Err() != nil {
			return codec.Configuration{}, ErrStopped
		}
		a, err := g.leaderCall(ctx, m)
		switch {
		case err != nil:
			pending.Maybe, pending.Why = true, "the leader did not answer"
		case a.Status == codec.CallOK:
			return a.Config, nil
		case a.Status == codec.CallRefused:
			return codec.Configuration{}, &RefusedError{Reason: a.Reason, Maybe: pending.Maybe}
		case a.Status != codec.CallNotLeader:
			pending.Maybe, pending.Why = true, a.Reason
		}
		g.client.pause(ctx, noLeaderPause)
		if pending.Cause = ctx.Err(); pending.Cause != nil {
			return codec.Configuration{}, pending
		}
	}
}

// Leave asks the leader to remove this node, again until it has; the group then
// stops here. Errors are those of Change.
func (g *Group) Leave(ctx context.Context) error {
	g.leaving.Store(true)
	id := g.cfg.Ledger.RaftID()
	config, err := g.Change(ctx, &codec.Leave{RaftID: id})
	if err == nil {
		at, known := config.RemovedAt(id)
		if !known {
			at = config.Index
		}
		g.send(func() *actor.PID { return g.consensus }, removedHere{at})
		<-g.done
		return nil
	}
	if g.left.Load() { // it came by the log before the answer did
		<-g.done
		return nil
	}
	g.leaving.Store(false)
	return err
}
