package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
)

// save asks the saver for what a Ready needs on disk: an adoption, then the save.
type save struct {
	adopt *consensus.Snapshot
	consensus.Save
	reply *actor.PID
}

// saver is the actor that waits for the disk in consensus's place, which
// meanwhile takes on the next proposals, acknowledgements and commits. It has one
// save at a time. A failed write stops the group.
type saver struct {
	ledger *ledger.Ledger
	fail   func(error)
}

func (s *saver) Receive(ctx actor.Context) {
	m, ok := ctx.Message().(save)
	if !ok {
		return
	}
	if err := s.save(m); err != nil {
		s.fail(err)
		return
	}
	ctx.Send(m.reply, saved{})
}

func (s *saver) save(m save) error {
	if m.adopt != nil {
		if err := s.ledger.Adopt(m.adopt.Cursor, m.adopt.IDs); err != nil {
			return fmt.Errorf("adopt the synced log: %w", err)
		}
	}
	return s.ledger.Save(m.Entries, m.Hard, m.Sync)
}
