package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

func (r *raftActor) sync(ctx actor.Context, w syncWanted) {
	r.syncing = true
	w.reply = ctx.Self()
	ctx.Send(r.coord, w)
}

// begin opens Raft if this ledger has a raft view, and then looks whether it is
// behind. A new one catches up first; one with holes has them filled first, and
// until then it neither votes nor acknowledges.
func (r *raftActor) begin(ctx actor.Context) {
	r.repairing = len(r.ledger.Holes()) > 0
	switch {
	case r.repairing:
		r.publish()
		ctx.Send(r.replay, advance{to: r.ledger.Whole()})
		r.sync(ctx, syncWanted{why: "blocks were damaged here", repair: true})
	case !r.ledger.HasRaftView():
		r.publish()
		r.sync(ctx, syncWanted{why: "this node is new"})
	default:
		if err := r.open(ctx); err != nil {
			r.fail(err)
			return
		}
		r.sync(ctx, syncWanted{why: "start", behind: 64})
	}
}

// syncDone goes on after a sync session: a joiner opens Raft, a member that
// holds a MsgSnap steps it.
func (r *raftActor) syncDone(ctx actor.Context, err error) {
	r.syncing, r.syncFor = false, 0
	switch {
	case r.core == nil && err != nil:
		self, root := ctx.Self(), ctx.ActorSystem().Root
		r.clock.AfterFunc(syncRetry, func() { root.Send(self, syncAgain{}) })
	case r.repairing:
		r.begin(ctx)
	case r.core == nil:
		if err := r.openJoiner(ctx); err != nil {
			r.fail(err)
		}
	default:
		r.stepHeld(ctx)
	}
}

func (r *raftActor) openJoiner(ctx actor.Context) error {
	if r.ledger.Head().Blocks == 0 {
		if err := r.ledger.OpenEmpty(); err != nil {
			return err
		}
	}
	return r.open(ctx)
}

// stepHeld steps the held MsgSnap if the ledger has reached it, or catches up.
func (r *raftActor) stepHeld(ctx actor.Context) {
	held, ok := r.core.Held()
	if !ok {
		return
	}
	if r.ledger.HeadCursor().Index < held.Cursor.Index {
		if !r.syncing || r.syncFor < held.Cursor.Index {
			r.syncFor = held.Cursor.Index
			r.sync(ctx, syncWanted{why: "fell behind the leader's horizon", until: held.Cursor.Index})
		}
		return
	}
	// Checked before Raft sees it: afterwards nothing can be refused.
	if err := r.ledger.CheckAdopt(held.Cursor, held.IDs); err != nil {
		r.fail(fmt.Errorf("take over the synced log: %w", err))
		return
	}
	if err := r.core.StepHeld(); err != nil {
		r.fail(fmt.Errorf("take over the synced log: %w", err))
	}
}

// lookForLeader asks the peers when no leader was heard for some elections:
// this node may have been away until the log was past it.
func (r *raftActor) lookForLeader(ctx actor.Context) {
	if r.core.Status().Leader != 0 {
		r.leaderless = 0
		return
	}
	r.leaderless++
	if r.leaderless >= noLeaderTicks*10 && !r.syncing {
		r.leaderless = 0
		r.sync(ctx, syncWanted{why: "no leader is heard", behind: 64})
	}
}
