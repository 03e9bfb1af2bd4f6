package consensus

import "github.com/logmesh/logmesh/codec"

// Early is what of the next Ready need not wait for any save, its own or the last
// one's: it is empty but for Now, Committed, Reads and Dropped, which are then
// taken and do not come again. It may be asked for at any time, also between Ready
// and Advance, so that a leader replicates and commits while its disk works.
//
// Why that is right: a leader's appends may leave before its own save (thesis,
// section 10.2.1), and the library gives out an entry as committed only when it
// is saved here, too. The commit index itself need not be saved first: it is
// learned again. Configuration entries still take effect in Advance.
//
// There is nothing early about an adoption: what is committed after it continues
// a log that this ledger does not have yet.
func (c *Core) Early() (Ready, bool) {
	if c.failed != nil || c.out != nil && c.out.Adopt != nil {
		return Ready{}, false
	}
	if err := c.input(c.flushReads); err != nil || c.next.Adopt != nil {
		return Ready{}, false
	}
	n := &c.next
	r := Ready{Now: n.Now, Committed: n.untold(), Reads: n.Reads, Dropped: n.Dropped}
	n.Now, n.Reads, n.Dropped, n.told = nil, nil, nil, len(n.Committed)
	return r, len(r.Now)+len(r.Committed)+len(r.Reads)+len(r.Dropped) > 0
}

// untold are the committed entries that Early did not give out.
func (b *batch) untold() []codec.Entry { return b.Committed[b.told:] }
