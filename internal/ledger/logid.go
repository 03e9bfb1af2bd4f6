package ledger

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/logmesh/logmesh/codec"
)

// LogID is the id of the log that the ledger holds, or was told to hold; zero
// until it is known. A founder's is that of entry 1, a recovered ledger's that of
// the recovery. A joiner is told it; else it learns it where the log makes it a
// member. On the way there the log may be an older one, which a recovery ends: so
// it is in the configuration that holds this node that the two must agree.
func (l *Ledger) LogID() codec.LogID {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.logID
}

// Before are the logs that recoveries ended on the way to this one, as far as the
// ledger has seen them, oldest first.
func (l *Ledger) Before() []codec.Recovery {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.beforeLog(l.logID)
}

func (l *Ledger) beforeLog(id codec.LogID) []codec.Recovery {
	for _, c := range []codec.Configuration{l.raft.config, l.synced.config} {
		if c.Log == id {
			return c.Before
		}
	}
	return nil
}

// SetLogID stores the log id, durably. Another one than the stored one is a
// *LogIDError.
func (l *Ledger) SetLogID(id codec.LogID) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	if id.IsZero() {
		return errors.New("ledger: a log id of zero")
	}
	b := l.store.db.NewBatch()
	if err := l.putLogID(b, id); err != nil || b.Empty() {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, true); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logID = id
	return nil
}

// putLogID adds the log id to b if none is stored.
func (l *Ledger) putLogID(b *pebble.Batch, id codec.LogID) error {
	if stored := l.LogID(); stored == id {
		return nil
	} else if !stored.IsZero() {
		return &LogIDError{Stored: stored, Given: id}
	}
	return setLogID(b, id)
}

func setLogID(b *pebble.Batch, id codec.LogID) error {
	return set(b, single(prefixLog), append([]byte(nil), id[:]...))
}

// names reports whether c says what log the member id is in.
func names(c codec.Configuration, id codec.RaftID) bool {
	_, member := c.Member(id)
	return member && !c.Log.IsZero()
}

// checkMembership: once Raft applies a configuration that holds this node, its log
// is ours.
func (l *Ledger) checkMembership(c codec.Configuration) error {
	if stored := l.LogID(); names(c, l.raftID) && !stored.IsZero() && c.Log != stored {
		return &LogIDError{Stored: stored, Given: c.Log}
	}
	return nil
}

// putMembership is the log id once Raft applies c: what checkMembership says, and
// one that is not known yet is learned.
func (l *Ledger) putMembership(b *pebble.Batch, c codec.Configuration) (codec.LogID, error) {
	if !names(c, l.raftID) {
		return l.LogID(), nil
	}
	return c.Log, l.putLogID(b, c.Log)
}

// checkLogID holds the stored log id against the configuration that Raft applied.
func checkLogID(stored codec.LogID, id codec.RaftID, v *raftView) error {
	if !names(v.config, id) || v.config.Log == stored {
		return nil
	}
	return &DamageError{
		What:  fmt.Sprintf("the log id is %v, but the configuration in which this node is a member is of log %v", stored, v.config.Log),
		Index: v.config.Index,
	}
}
