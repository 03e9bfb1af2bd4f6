package actors

import (
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// syncView is what others may know of a session.
type syncView struct {
	session  uint64
	entries  uint64
	stray    uint64
	status   catchup.Status
	finished bool
	err      error

	root    codec.SizedRoot // agreed; 0 blocks: none yet
	by      int             // so many voters state it; 0: it was pinned by hand
	voters  int
	silent  []codec.PeerID // a majority waits for these voters
	dispute error          // members hold different logs; nil: not seen
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
	v := &syncView{session: c.s.id, entries: c.s.stored, stray: c.s.stray.Load(), status: c.s.plan.Status()}
	if a := c.s.agree; a != nil {
		v.root, v.by, _ = a.Agreed()
		v.voters, v.silent = len(a.Voters()), a.Silent()
	}
	if c.dispute != nil {
		v.dispute = c.dispute
	}
	return v
}
