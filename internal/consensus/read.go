package consensus

import (
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3"

	"github.com/logmesh/logmesh/codec"
)

// reads gathers ReadIndex tokens: all that wait when work is taken share one
// round of heartbeats (thesis, section 6.4).
type reads struct {
	waiting []uint64            // tokens without a round yet
	asked   map[uint64][]uint64 // request number → its tokens
	request uint64              // number of the last request
	rounds  uint64              // requests of this leadership that wait for heartbeats, ever
}

// ReadIndex asks for an index at which a read is linearizable. The answer comes
// in Ready.Reads under token, or the token in Ready.Dropped.
func (c *Core) ReadIndex(token uint64) error {
	if c.failed != nil {
		return c.failed
	}
	if !c.leading() {
		return ErrNotLeader
	}
	c.reads.waiting = append(c.reads.waiting, token)
	return nil
}

// flushReads asks for all waiting tokens at once. Tokens wait for the leader to
// commit in its term: the library would answer a sole voter's before that, with
// a commit index that may be old.
func (c *Core) flushReads() error {
	r := &c.reads
	if len(r.waiting) == 0 || !c.settled() {
		return nil
	}
	if r.asked == nil {
		r.asked = make(map[uint64][]uint64)
	}
	r.request++
	r.asked[r.request] = r.waiting
	r.waiting = nil
	if c.members.Voters() > 1 {
		r.rounds++ // as the library counts
	}
	c.rn.ReadIndex(binary.LittleEndian.AppendUint64(nil, r.request))
	return nil
}

func (c *Core) answerReads(b *batch, states []raft.ReadState) {
	for _, s := range states {
		request := roundOf(s.RequestCtx)
		for _, token := range c.reads.asked[request] {
			b.Reads = append(b.Reads, Read{Token: token, Index: codec.Index(s.Index)})
		}
		delete(c.reads.asked, request)
	}
}

// askAgain lets everything that was asked wait for a round under the present
// configuration. A leader that became the only voter hears no more answers, and
// the library does not look at old rounds again.
func (r *reads) askAgain() {
	var tokens []uint64
	for _, asked := range r.asked {
		tokens = append(tokens, asked...)
	}
	slices.Sort(tokens)
	r.waiting, r.asked = append(tokens, r.waiting...), nil
}

// dropReads ends a leadership: nothing that was asked in it will be answered.
func (c *Core) dropReads() {
	r := &c.reads
	dropped := r.waiting
	for _, tokens := range r.asked {
		dropped = append(dropped, tokens...)
	}
	slices.Sort(dropped)
	c.next.Dropped = append(c.next.Dropped, dropped...)
	r.waiting, r.asked, r.rounds = nil, nil, 0
}

// roundOf reads the number in a heartbeat's or a request's context.
func roundOf(ctx []byte) uint64 { return binary.LittleEndian.Uint64(ctx) }
