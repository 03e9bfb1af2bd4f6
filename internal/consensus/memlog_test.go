package consensus

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/logmesh/logmesh/codec"
)

// memLog is the ledger's contract in memory: the raft view [first, last], and
// the synced view, which is all sealed entries. durable is what a crash leaves.
type memLog struct {
	memState
	durable *memState
	never   bool // crashes: then nothing is copied
}

type memState struct {
	first   codec.Index
	before  codec.Term // of first − 1
	tail    []codec.Entry
	hard    codec.HardState
	applied codec.Index
	members codec.Configuration // at applied

	sealed  []codec.Entry // from index 1
	ends    []codec.Index // of blocks
	configs []codec.Configuration
}

func newMemLog() *memLog {
	l := &memLog{memState: memState{first: 1}}
	l.sync()
	return l
}

func (s *memState) clone() *memState {
	c := *s
	c.tail, c.sealed = slices.Clone(s.tail), slices.Clone(s.sealed)
	c.ends, c.configs = slices.Clone(s.ends), slices.Clone(s.configs)
	return &c
}

func (l *memLog) sync() {
	if !l.never {
		l.durable = l.memState.clone()
	}
}

func (l *memLog) crash() { l.memState = *l.durable.clone() }

func (l *memLog) FirstIndex() codec.Index { return l.first }
func (l *memLog) LastIndex() codec.Index  { return l.first + codec.Index(len(l.tail)) - 1 }

func (l *memLog) RaftApplied() (codec.Index, codec.Configuration) { return l.applied, l.members }

func (l *memLog) Term(i codec.Index) (codec.Term, error) {
	switch {
	case i+1 < l.first:
		return 0, codec.ErrCompacted
	case i+1 == l.first:
		return l.before, nil
	case i > l.LastIndex():
		return 0, codec.ErrUnavailable
	}
	return l.tail[i-l.first].Term, nil
}

func (l *memLog) Entries(lo, hi codec.Index, maxBytes uint64) ([]codec.Entry, error) {
	if lo < l.first {
		return nil, codec.ErrCompacted
	}
	if hi > l.LastIndex()+1 {
		return nil, codec.ErrUnavailable
	}
	var out []codec.Entry
	for _, e := range l.tail[lo-l.first : hi-l.first] {
		if len(out) > 0 && uint64(len(e.Data)) > maxBytes {
			break
		}
		maxBytes -= min(maxBytes, uint64(len(e.Data)))
		out = append(out, e)
	}
	return out, nil
}

func (l *memLog) found(e codec.Entry) {
	l.tail, l.hard = []codec.Entry{e}, codec.HardState{Term: 1, Commit: 1}
	l.sync()
}

func (l *memLog) save(s Save) {
	if n := len(s.Entries); n > 0 {
		from := s.Entries[0].Index
		if from <= l.hard.Commit || from > l.LastIndex()+1 {
			panic(fmt.Sprintf("entries from %d saved into [%d, %d], commit %d", from, l.first, l.LastIndex(), l.hard.Commit))
		}
		l.tail = append(l.tail[:from-l.first:cap(l.tail)], s.Entries...)
	}
	if s.Hard != nil {
		if s.Hard.Term < l.hard.Term || s.Hard.Commit < l.hard.Commit {
			panic(fmt.Sprintf("hard state %+v after %+v", *s.Hard, l.hard))
		}
		l.hard = *s.Hard
	}
	if s.Sync {
		l.sync()
	}
}

// seal makes blocks of what is committed. What is sealed already must be equal.
func (l *memLog) seal() {
	end := codec.Index(len(l.sealed))
	if end+1 < l.first {
		return
	}
	var fill codec.BlockFill
	var block []codec.Entry
	for i := end + 1; i <= min(l.hard.Commit, l.LastIndex()); i++ {
		e := l.tail[i-l.first]
		block = append(block, e)
		if fill.Add(len(e.Data)) {
			l.release(block)
			block = nil
		}
	}
}

func (l *memLog) release(block []codec.Entry) {
	config := l.sealedConfig()
	for _, e := range block {
		if e.Kind == codec.KindConfig {
			var err error
			if config, err = Fold(config, e); err != nil {
				panic(err)
			}
		}
	}
	l.sealed = append(l.sealed, block...)
	l.ends = append(l.ends, block[len(block)-1].Index)
	l.configs = append(l.configs, config)
}

func (l *memLog) sealedConfig() codec.Configuration {
	if len(l.configs) == 0 {
		return codec.Configuration{}
	}
	return l.configs[len(l.configs)-1]
}

func (l *memLog) head() (codec.Cursor, codec.Configuration) {
	if len(l.ends) == 0 {
		return codec.Cursor{}, codec.Configuration{}
	}
	return l.sealed[len(l.sealed)-1].Cursor(), l.sealedConfig()
}

// fetch is a whole sync session: the synced view grows to the other's.
func (l *memLog) fetch(from *memLog) {
	for k := len(l.ends); k < len(from.ends); k++ {
		l.release(slices.Clone(from.sealed[len(l.sealed):from.ends[k]]))
	}
	l.sync()
}

// adopt is the ledger's adoption: the raft view jumps to the cursor.
func (l *memLog) adopt(at codec.Cursor) {
	k := slices.Index(l.ends, at.Index)
	if k < 0 || l.sealed[at.Index-1].Term != at.Term {
		panic(fmt.Sprintf("cursor %v is no sealed one", at))
	}
	if t, err := l.Term(at.Index); err == nil && t == at.Term {
		l.tail = slices.Clone(l.tail[at.Index+1-l.first:])
	} else {
		l.tail = nil
	}
	l.first, l.before = at.Index+1, at.Term
	if at.Term > l.hard.Term {
		l.hard.Term, l.hard.Vote = at.Term, 0
	}
	l.hard.Commit = max(l.hard.Commit, at.Index)
	l.applied, l.members = at.Index, l.configs[k]
	l.sync()
}

// adoptHead is the rule at open.
func (l *memLog) adoptHead() {
	if at, _ := l.head(); at.Index > l.hard.Commit {
		l.adopt(at)
	}
}

// hide moves the horizon: blocks of the sealed view stay, down to floor.
func (l *memLog) hide(blocks int, floor codec.Index) {
	if len(l.ends) <= blocks {
		return
	}
	before := l.ends[len(l.ends)-blocks-1]
	if floor != 0 {
		before = min(before, floor-1)
	}
	before = min(before, l.applied, l.hard.Commit)
	if before+1 <= l.first {
		return
	}
	t, err := l.Term(before)
	if err != nil {
		panic(err)
	}
	l.tail = slices.Clone(l.tail[before+1-l.first:])
	l.first, l.before = before+1, t
}

// equalPrefix reports the first index at which two synced or raft views differ
// in what both committed; 0: none.
func differ(a, b *memLog) codec.Index {
	for i := codec.Index(1); i <= min(a.hard.Commit, b.hard.Commit); i++ {
		x, okx := a.entry(i)
		y, oky := b.entry(i)
		if okx && oky && (x.Term != y.Term || x.Kind != y.Kind || !bytes.Equal(x.Data, y.Data)) {
			return i
		}
	}
	return 0
}

func (l *memLog) entry(i codec.Index) (codec.Entry, bool) {
	if i >= l.first && i <= l.LastIndex() {
		return l.tail[i-l.first], true
	}
	if i >= 1 && i <= codec.Index(len(l.sealed)) {
		return l.sealed[i-1], true
	}
	return codec.Entry{}, false
}
