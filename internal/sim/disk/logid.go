package disk

import (
	"errors"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// LogID is the id of the log that the ledger holds, or was told to hold; zero
// until it is known.
func (l *Ledger) LogID() codec.LogID { return l.now.log }

// Before are the logs that recoveries ended on the way to this one, as far as the
// ledger has seen them, oldest first.
func (l *Ledger) Before() []codec.Recovery {
	for _, c := range []codec.Configuration{l.now.applied.config, l.HeadConfig()} {
		if c.Log == l.now.log {
			return c.Before
		}
	}
	return nil
}

// SetLogID stores the log id, durably. Another one than the stored one is a
// *ledger.LogIDError.
func (l *Ledger) SetLogID(id codec.LogID) error {
	if l.closed {
		return ledger.ErrClosed
	}
	if id.IsZero() {
		return errors.New("disk: a log id of zero")
	}
	stored, err := l.learn(id)
	if err != nil || stored == nil {
		return err
	}
	return l.write(OnSetLogID, batch{log: stored}, true)
}

// learn is the record of log id id, nil if it is there already.
func (l *Ledger) learn(id codec.LogID) (*codec.LogID, error) {
	switch {
	case l.now.log == id:
		return nil, nil
	case !l.now.log.IsZero():
		return nil, &ledger.LogIDError{Stored: l.now.log, Given: id}
	}
	return &id, nil
}

// learnFrom is learn for whoever lets Raft apply c: a configuration that holds this
// node tells its log.
func (l *Ledger) learnFrom(c codec.Configuration) (*codec.LogID, error) {
	if !l.now.isNamed(c) {
		return nil, nil
	}
	return l.learn(c.Log)
}

func (s *state) raftID() codec.RaftID { return codec.RaftIDOf(s.owner.peer, s.owner.salt) }

// isNamed reports whether c says what log the node is a member in.
func (s *state) isNamed(c codec.Configuration) bool {
	_, member := c.Member(s.raftID())
	return member && !c.Log.IsZero()
}

// Removed is the index of the entry that removed this node, as SetRemoved noted it.
func (l *Ledger) Removed() codec.Index { return l.now.removed }

// SetRemoved notes, durably, that the entry at index removed this node. The first
// index that was noted stays.
func (l *Ledger) SetRemoved(index codec.Index) error {
	switch {
	case l.closed:
		return ledger.ErrClosed
	case index == 0:
		return errors.New("disk: a removal at index 0")
	case l.now.removed != 0:
		return nil
	}
	return l.write(OnSetRemoved, batch{removed: &index}, true)
}
