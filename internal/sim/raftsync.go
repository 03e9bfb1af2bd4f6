package sim

// sync asks the coordinator for a session.
func (r *raftNode) sync(w want) {
	r.syncing = true
	r.m.after(0, func() { r.m.coord.wanted(w) })
}

// syncDone goes on after a sync session: a joiner opens Raft, a member that
// holds a MsgSnap steps it.
func (r *raftNode) syncDone(err error) {
	r.syncing, r.syncFor = false, 0
	switch {
	case r.core == nil && err != nil:
		r.m.after(syncRetry, func() { r.tell(func() { r.sync(want{}) }) })
	case r.core == nil:
		if err := r.openJoiner(); err != nil {
			r.m.fail(err)
		}
	default:
		r.stepHeld()
	}
}

func (r *raftNode) openJoiner() error {
	if r.m.ledger.Head().Blocks == 0 {
		if err := r.m.ledger.OpenEmpty(); err != nil {
			return err
		}
	}
	return r.open()
}

// stepHeld steps the held MsgSnap if the ledger has reached it, or catches up.
func (r *raftNode) stepHeld() {
	held, ok := r.core.Held()
	if !ok {
		return
	}
	if r.m.ledger.HeadCursor().Index < held.Cursor.Index && !r.m.w.faults.StepUnsynced {
		if !r.syncing || r.syncFor < held.Cursor.Index {
			r.syncFor = held.Cursor.Index
			r.sync(want{until: held.Cursor.Index})
		}
		return
	}
	if err := r.m.ledger.CheckAdopt(held.Cursor, held.IDs); err != nil && !r.m.w.faults.StepUnsynced {
		r.m.fail(err)
		return
	}
	if err := r.core.StepHeld(); err != nil {
		r.m.fail(err)
	}
}

func (r *raftNode) lookForLeader() {
	if r.core.Status().Leader != 0 {
		r.leaderless = 0
		return
	}
	r.leaderless++
	if r.leaderless >= noLeaderTicks*10 && !r.syncing {
		r.leaderless = 0
		r.sync(want{behind: 64})
	}
}
