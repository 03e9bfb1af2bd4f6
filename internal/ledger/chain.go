package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/logmesh/logmesh/codec"
)

// chain derives the configurations of a log again, for Verify: who belongs to the
// group, and through which recoveries the log went. Without a Fold it does nothing.
type chain struct {
	fold   Fold
	config codec.Configuration // at the last entry added
}

func (c *chain) add(entries []codec.Entry) error {
	if c.fold == nil {
		return nil
	}
	for _, e := range entries {
		if e.Kind != codec.KindConfig {
			continue
		}
		next, err := c.fold(c.config, e)
		if err != nil {
			return &DamageError{What: "a configuration entry", Index: e.Index, Cause: err}
		}
		c.config = next
	}
	return nil
}

// compare holds a stored configuration against the derived one.
func (c *chain) compare(what string, stored codec.Configuration) error {
	if c.fold == nil {
		return nil
	}
	ours, err := codec.EncodeConfiguration(c.config)
	theirs, storedErr := codec.EncodeConfiguration(stored)
	if err = errors.Join(err, storedErr); err != nil {
		return fmt.Errorf("compare %s: %w", what, err)
	}
	if bytes.Equal(ours, theirs) {
		return nil
	}
	return &DamageError{
		What:  fmt.Sprintf("%s is %+v, the log makes it %+v", what, stored, c.config),
		Index: min(stored.Index, c.config.Index),
	}
}

// verifyEnd follows the configurations through the tail to what Raft applied, and
// holds the log id against the one there.
func (o *offline) verifyEnd(c *chain) error {
	v := &o.raft
	if !v.exists || c.fold == nil {
		return nil
	}
	owner, err := o.owner()
	if err != nil {
		return err
	}
	id, err := o.logID()
	if err != nil {
		return err
	}
	if v.applied >= o.synced.last.Index { // below, the blocks were told apart one by one
		for _, e := range v.tail {
			if e.Index > o.synced.last.Index && e.Index <= v.applied {
				if err := c.add([]codec.Entry{e}); err != nil {
					return err
				}
			}
		}
		if err := c.compare(fmt.Sprintf("the configuration applied at index %d", v.applied), v.config); err != nil {
			return err
		}
	}
	return checkLogID(id, codec.RaftIDOf(owner.peer, owner.salt), v)
}
