package sim

import (
	"bytes"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/replay"
)

// decided is the log as it was decided: every entry that any member ever took as
// committed.
type decided struct {
	w       *World
	entries []codec.Entry // from index 1 on
	configs []codec.Configuration
}

// vote is what a raft id last voted.
type vote struct {
	term codec.Term
	to   codec.RaftID
}

// add appends the next entry.
func (d *decided) add(e codec.Entry) {
	d.entries = append(d.entries, codec.Entry{Index: e.Index, Term: e.Term, Kind: e.Kind, Data: bytes.Clone(e.Data)})
	d.w.note('c', uint64(e.Index), uint64(e.Term), uint64(len(e.Data)))
	if e.Kind != codec.KindConfig {
		return
	}
	var config codec.Configuration
	if n := len(d.configs); n > 0 {
		config = d.configs[n-1]
	}
	config, err := consensus.Fold(config, e)
	if err != nil {
		d.w.violate("a configuration that nobody should write", "%v", err)
		return
	}
	d.configs = append(d.configs, config)
	d.w.note('C', uint64(e.Index), uint64(len(config.Members)), uint64(config.Voters()))
}

// same holds an entry against what was decided at its index.
func (d *decided) same(e codec.Entry) bool {
	old := &d.entries[e.Index-1]
	return old.Term == e.Term && old.Kind == e.Kind && bytes.Equal(old.Data, e.Data)
}

// committed: a member takes entries as decided. What is decided never changes,
// and is synced on a majority of voters.
func (w *World) committed(m *member, entries []codec.Entry) {
	d := &w.decided
	before := len(d.entries)
	for _, e := range entries {
		switch n := codec.Index(len(d.entries)); {
		case e.Index == n+1:
			d.add(e)
		case e.Index > n:
			w.violate("a gap in what is committed", "member %d: index %d after %d", m.number, e.Index, n)
			return
		case !d.same(e):
			w.violate("what is committed changed", "member %d has %v, decided was %v", m.number, e.Cursor(), d.entries[e.Index-1].Cursor())
			return
		}
	}
	if len(d.entries) > before {
		w.durable(d.entries[len(d.entries)-1].Cursor())
	}
}

// committedTo takes what a ledger says to be committed as decided.
func (w *World) committedTo(m *member, commit codec.Index) {
	next := codec.Index(len(w.decided.entries)) + 1
	if commit < next || m.ledger.FirstIndex() > next {
		return
	}
	entries, err := m.ledger.Entries(next, commit+1, 1<<30)
	if err != nil {
		w.violate("committed without its entries", "member %d: %d to %d: %v", m.number, next, commit, err)
		return
	}
	w.committed(m, entries)
}

// durable: a decided position would survive on a majority of the voters if
// everybody crashed now. The leader counts by the configuration that it had
// applied, which is the last one in the log or the one before it.
func (w *World) durable(at codec.Cursor) {
	configs := w.decided.configs
	for i := len(configs) - 1; i >= max(0, len(configs)-3); i-- {
		if w.holders(configs[i], at) >= configs[i].Quorum() {
			return
		}
	}
	w.violate("a decided entry is not synced on a majority", "%v, on %d voters of %d", at, w.holders(configs[len(configs)-1], at), configs[len(configs)-1].Voters())
}

// holders counts the voters whose disks would keep a position in the worst
// crash. A directory that was lost counts with what was in it: its raft id never
// acts again.
func (w *World) holders(c codec.Configuration, at codec.Cursor) (n int) {
	for _, x := range c.Members {
		if d := w.disks[x.RaftID]; x.Role == codec.RoleVoter && d != nil && d.Durable(at) {
			n++
		}
	}
	return n
}

// acknowledged: a user is told the result of a command, so it is decided, and
// durable.
func (w *World) acknowledged(m *member, x *call, r replay.Result) {
	if int(r.Index) > len(w.decided.entries) || r.Index == 0 {
		w.violate("an acknowledged write is not decided", "member %d: index %d of %d", m.number, r.Index, len(w.decided.entries))
		return
	}
	c, err := codec.DecodeCommand(w.decided.entries[r.Index-1].Data)
	if err != nil || !bytes.Equal(c.Payload, x.command) {
		w.violate("an acknowledged write is another command", "member %d: index %d", m.number, r.Index)
	}
}

// saved: a member never votes twice in a term, under one id, nor forgets its vote.
// What it saves as
// committed is decided, also if it crashes before it hands that on.
func (w *World) saved(m *member, s consensus.Save) {
	if s.Hard != nil {
		w.committedTo(m, s.Hard.Commit)
	}
	if s.Hard != nil {
		w.voted(m, *s.Hard)
	}
}

// voted takes note of a hard state that was saved, or that is found at a start:
// a save that was reported as failed may have been done.
func (w *World) voted(m *member, hard codec.HardState) {
	id := m.ledger.RaftID()
	old := w.votes[id]
	if old.term == hard.Term && old.to != 0 && old.to != hard.Vote {
		w.violate("two votes in one term", "member %d, %v: in term %d for %v and for %v", m.number, id, hard.Term, old.to, hard.Vote)
	}
	w.votes[id] = vote{hard.Term, hard.Vote}
}

// hidden: the horizon moved, but not over what somebody is about to need, nor
// over what is not applied.
func (w *World) hidden(m *member, before, floor codec.Index) {
	first := m.ledger.FirstIndex()
	applied, _ := m.ledger.RaftApplied()
	if first != before && (floor != 0 && first > floor || first > applied+1) {
		w.violate("the horizon hides what is needed", "member %d: index %d is the first, %d needed, %d applied", m.number, first, floor, applied)
	}
}

// leads: a term has one leader, and it has everything that is decided.
func (w *World) leads(m *member, term codec.Term) {
	id := m.ledger.RaftID()
	w.note('L', uint64(m.number), uint64(term), uint64(m.ledger.LastIndex()))
	if other, ok := w.terms[term]; ok && other != id {
		w.violate("two leaders in one term", "term %d: %v and %v", term, other, id)
	}
	w.terms[term] = id
	n := len(w.decided.entries)
	last := w.decided.entries[n-1].Cursor()
	if last.Term >= term {
		return // decided by a later leader: this one does not know yet
	}
	if t, err := m.ledger.Term(last.Index); err != nil || t != last.Term {
		w.violate("a leader lacks what is decided", "member %d leads term %d without %v: term %d there, %v", m.number, term, last, t, err)
	}
}

// opened: a ledger that is opened has what was decided.
func (w *World) opened(m *member) {
	commit := m.ledger.HardState().Commit
	if commit == 0 {
		return
	}
	w.committedTo(m, commit) // saved by a write that was reported as failed
	t, err := m.ledger.Term(commit)
	if n := len(w.decided.entries); int(commit) > n || err != nil || t != w.decided.entries[commit-1].Term {
		w.violate("a member opens on what was not decided", "member %d: commit %d of %d, term %d, %v", m.number, commit, n, t, err)
	}
}

// adopted: the raft view jumped to a position; everything up to there must be
// what was decided, with the configuration that follows from it.
func (w *World) adopted(m *member, at codec.Cursor) {
	d := &w.decided
	w.reached["adoption"]++
	w.note('A', uint64(m.number), uint64(at.Index), uint64(at.Term))
	if int(at.Index) > len(d.entries) || d.entries[at.Index-1].Term != at.Term {
		w.violate("an index is adopted that was not decided", "member %d: %v", m.number, at)
		return
	}
	if hard, old := m.ledger.HardState(), w.votes[m.ledger.RaftID()]; hard.Vote != 0 && (old.term != hard.Term || old.to != hard.Vote) {
		w.violate("a vote that was not given", "member %d: %+v, last for %v in term %d", m.number, hard, old.to, old.term)
	}
	for from := codec.Index(1); from <= at.Index; {
		entries, err := m.ledger.Read(from, at.Index, 1<<20)
		if err != nil {
			w.violate("an index is adopted without its state", "member %d: %v: %v", m.number, at, err)
			return
		}
		for _, e := range entries {
			if !d.same(e) {
				w.violate("a block is adopted that was not decided", "member %d: %v", m.number, e.Cursor())
				return
			}
		}
		from += codec.Index(len(entries))
	}
}

// stored: blocks that a session fetched are those that were decided.
func (w *World) stored(m *member, first uint64, blocks [][]byte) {
	for i, data := range blocks {
		var b codec.Block
		if err := codec.DecodeBlock(data, &b); err != nil {
			w.violate("codec", "%v", err)
			return
		}
		for _, e := range b.Entries() {
			if int(e.Index) > len(w.decided.entries) || !w.decided.same(e) {
				w.violate("a block is stored that was not decided", "member %d: block %d: %v", m.number, first+uint64(i), e.Cursor())
				return
			}
		}
	}
}

// distrusted: only who forged is put out of a session.
func (w *World) distrusted(m, peer *member, err error) {
	w.reached["distrust"]++
	w.note('d', uint64(m.number), uint64(peer.number), 0)
	if !peer.forged {
		w.violate("an honest peer is out", "member %d: member %d: %v", m.number, peer.number, err)
	}
}

// disputed: voters that never forged state the same roots.
func (w *World) disputed(m *member, d *catchup.DisputeError) {
	if !w.byPeer[d.A].forged && !w.byPeer[d.B].forged {
		w.violate("honest voters state different roots", "member %d: %v", m.number, d)
	}
}

// applying: entries go into the machine in order, as they were decided.
func (w *World) applying(m *member, applied codec.Index, entries []codec.Entry) {
	for _, e := range entries {
		switch {
		case e.Index != applied+1:
			w.violate("applied out of order", "member %d: index %d after %d", m.number, e.Index, applied)
			return
		case int(e.Index) > len(w.decided.entries):
			w.violate("applied before it was decided", "member %d: index %d of %d", m.number, e.Index, len(w.decided.entries))
			return
		case !w.decided.same(e):
			w.violate("applied what was not decided", "member %d: %v, decided was %v", m.number, e.Cursor(), w.decided.entries[e.Index-1].Cursor())
			return
		}
		applied = e.Index
	}
}

// applied: the digest at an index is the same everywhere, and so is that of each
// block end.
func (w *World) applied(m *member) {
	core := m.replay.core
	if b, end := core.BlockDigest(); end > m.replay.block {
		m.replay.block = end
		w.digest(m, end, b.Digest)
	}
	w.digest(m, core.Applied(), core.Digest())
}

func (w *World) digest(m *member, at codec.Index, d codec.Digest) {
	if old, ok := w.digests[at]; ok && old != d {
		w.violate("digests differ", "member %d at index %d", m.number, at)
	}
	w.digests[at] = d
	w.note('a', uint64(m.number), uint64(at), uint64(d[0]))
}

// watch: a session is never stuck, and holds at most the window and two blocks of
// the greatest size.
func (w *World) watch(m *member, s *session) {
	if err := s.plan.Stuck(w.time.now - s.started); err != nil && !s.finished {
		w.violate("catch-up is stuck", "member %d: %v", m.number, err)
	}
	if most := s.plan.Status().MaxHeld; most > w.scenario.Window+2*codec.MaxBlock {
		w.violate("more held than the window", "member %d: %d bytes", m.number, most)
	}
}
