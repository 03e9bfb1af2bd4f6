package ledger

import (
	"errors"

	"github.com/logmesh/logmesh/codec"
)

// Removed is the index of the entry that removed this node from the group, as
// SetRemoved noted it; 0: none did, or nobody told. A node that was removed never
// takes part under this ledger's raft id again.
func (l *Ledger) Removed() codec.Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.removed
}

// SetRemoved notes, durably, that the entry at index removed this node. The first
// index that was noted stays.
func (l *Ledger) SetRemoved(index codec.Index) error {
	release, err := l.exclusive()
	if err != nil {
		return err
	}
	defer release()
	if index == 0 {
		return errors.New("ledger: a removal at index 0")
	}
	if l.Removed() != 0 {
		return nil
	}
	b := l.store.db.NewBatch()
	if err := set(b, single(prefixRemoved), numbersBody(uint64(index))); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := l.commit(b, true); err != nil {
		return err
	}
	l.mu.Lock()
	l.removed = index
	l.mu.Unlock()
	return nil
}

// removedAt reads what SetRemoved noted.
func (s *store) removedAt() (codec.Index, error) {
	body, found, err := s.record(single(prefixRemoved), "the removal of this node")
	if err != nil || !found {
		return 0, err
	}
	n, err := readNumbers(body, 1)
	if err != nil {
		return 0, damage("the removal of this node", 0, err)
	}
	return codec.Index(n[0]), nil
}
