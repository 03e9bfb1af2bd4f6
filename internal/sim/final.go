package sim

import (
	"sort"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine/kv"
)

// finalChecks holds the run against R1 to R7, when everybody is level: R6 is that
// they became so, and R7 most of what level asks for.
func (w *World) finalChecks() {
	o := w.oracle()
	w.exactlyOnce(o)
	w.equalStates(o)
	w.calmTerms()
	w.oneConfiguration()
	w.readsAtIndexes(o)
	w.linearizable()
	for _, m := range w.members {
		if !m.up || m.removed {
			continue
		}
		for peer, v := range m.provider.sessions {
			if v.lease.Open && !v.stream.dead {
				w.violate("something is left over", "member %d has an open lease of %s", m.number, peer)
			}
		}
	}
}

// oracle is what the decided log means, worked out in the obvious way: the first
// copy of each numbered command counts, by sessions that were opened.
type oracle struct {
	first    map[commandID]codec.Index
	versions map[string][]version // of each key, by rising index
	byValue  map[uint64]codec.Index
}

type commandID struct {
	session codec.SessionID
	seq     uint64
}

type version struct {
	index codec.Index
	value string
	found bool
}

func (w *World) oracle() *oracle {
	o := &oracle{first: map[commandID]codec.Index{}, versions: map[string][]version{}, byValue: map[uint64]codec.Index{}}
	opened := map[codec.SessionID]bool{}
	for _, e := range w.decided.entries {
		if e.Kind != codec.KindCommand {
			continue
		}
		c, err := codec.DecodeCommand(e.Data)
		if err != nil {
			w.violate("codec", "index %d: %v", e.Index, err)
			return o
		}
		if c.Opens() {
			opened[codec.SessionID(e.Index)] = true
			continue
		}
		id := commandID{c.Session, c.Seq}
		if _, again := o.first[id]; again || !opened[c.Session] {
			continue
		}
		o.first[id] = e.Index
		o.apply(w, e.Index, c.Payload)
	}
	return o
}

func (o *oracle) apply(w *World, at codec.Index, payload []byte) {
	if id := idOf(payload); id != 0 {
		if first, again := o.byValue[id]; again {
			w.violate("a command counts twice", "command %d at indexes %d and %d", id, first, at)
		}
		o.byValue[id] = at
	}
	command, err := kv.DecodeCommand(payload)
	if err != nil {
		w.violate("codec", "index %d: %v", at, err)
		return
	}
	switch c := command.(type) {
	case kv.Put:
		o.set(c.Key, version{at, string(c.Value), true})
	case kv.Delete:
		o.set(c.Key, version{at, "", false})
	case kv.CAS:
		if now := o.at(c.Key, at); now.found == c.OldExists && now.value == string(c.Old) {
			o.set(c.Key, version{at, string(c.New), true})
		}
	}
}

func (o *oracle) set(key string, v version) { o.versions[key] = append(o.versions[key], v) }

// at is what a key had when index i was applied.
func (o *oracle) at(key string, i codec.Index) version {
	vs := o.versions[key]
	n := sort.Search(len(vs), func(k int) bool { return vs[k].index > i })
	if n == 0 {
		return version{}
	}
	return vs[n-1]
}

// exactlyOnce: R1. What was acknowledged is in the log, and what was said never
// to happen is not.
func (w *World) exactlyOnce(o *oracle) {
	for _, x := range w.history.ops {
		if x.kind > opSwap {
			continue
		}
		at, there := o.byValue[x.id]
		switch {
		case x.done && (!there || at != x.index):
			w.violate("an acknowledged write is not there once", "%v: it stands at index %d", x, at)
		case x.never && there:
			w.violate("a write happened that was said not to", "%v: it stands at index %d", x, at)
		}
	}
}

// equalStates: R2 and R3. Everybody is at one index, so they have one digest, and
// the content that the log means.
func (w *World) equalStates(o *oracle) {
	last := codec.Index(len(w.decided.entries))
	for _, m := range w.members {
		if !m.up || m.removed {
			continue
		}
		w.digest(m, m.replay.core.Applied(), m.replay.core.Digest())
		there := 0
		for key := range o.versions {
			want, got := o.at(key, last), m.get(key)
			if want.found != got.Found || want.value != string(got.Value) {
				w.violate("the machine has not what the log means", "member %d: key %s", m.number, key)
			}
			there += int(bit(want.found))
		}
		if n := m.replay.machine.Len(); n != there {
			w.violate("the machine has not what the log means", "member %d: %d keys, not %d", m.number, n, there)
		}
	}
}

// calmTerms: terms grow by elections, and a member begins one at most once in an
// election timeout, unless leadership is handed to it.
func (w *World) calmTerms() {
	handed := w.reached["hand over"] + w.reached["leave"] + w.reached["crash"] + w.reached["crash all"] + w.reached["start"]
	most := codec.Term(2+handed) + codec.Term(w.time.now/electionTime)
	for _, m := range w.members {
		if m.up && !m.removed && m.raft.view.status.Term > most {
			w.violate("terms run away", "member %d: term %d after %v", m.number, m.raft.view.status.Term, w.time.now)
		}
	}
}

// oneConfiguration: R5. Everybody has the configuration that the log means.
func (w *World) oneConfiguration() {
	want := w.decided.configs[len(w.decided.configs)-1]
	for _, m := range w.members {
		if !m.up || m.removed {
			continue
		}
		got := m.raft.view.config
		same := got.Index == want.Index && len(got.Members) == len(want.Members)
		for i := range want.Members {
			same = same && got.Members[i].RaftID == want.Members[i].RaftID && got.Members[i].Role == want.Members[i].Role
		}
		if !same {
			w.violate("configurations differ", "member %d has that of index %d, the log that of %d", m.number, got.Index, want.Index)
		}
	}
}

// readsAtIndexes: every read gave what the key had at the index at which it says
// it was made, and not below the one that it was asked for.
func (w *World) readsAtIndexes(o *oracle) {
	for _, x := range w.history.ops {
		if x.kind < opStrong || !x.done {
			continue
		}
		want := o.at(keyName(x.key), x.index)
		if want.found != x.ok || want.value != x.value || x.index < x.at {
			w.violate("a read is not of its index", "%v: the key had command %d, asked for index %d", x, idOf([]byte(want.value)), x.at)
		}
	}
}
