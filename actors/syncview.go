package actors

import (
	"github.com/logmesh/logmesh/internal/catchup"
)

// syncView is what others may know of a session.
type syncView struct {
	session  uint64
	entries  uint64
	status   catchup.Status
	finished bool
	err      error
}

// publish shows the session to others, not too often while it runs.
func (c *coordinator) publish(always bool) {
	now := c.clock.Now()
	if !always && now.Sub(c.shown) < publishEvery {
		return
	}
	c.shown = now
	c.view.Store(c.picture())
}

func (c *coordinator) publishEnd(err error) {
	v := c.picture()
	v.finished, v.err = true, err
	c.view.Store(v)
}

func (c *coordinator) picture() *syncView {
	return &syncView{session: c.s.id, entries: c.s.stored, status: c.s.plan.Status()}
}
