package replay

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// ledger is the machine of these tests: it writes down everything that it
// applied, so that whatever is applied twice or out of order shows.
type ledger struct{ text []byte }

func (*ledger) Signature() string      { return "ledger/1" }
func (m *ledger) Digest() codec.Digest { return blake3.Sum256(m.text) }

func (m *ledger) Apply(b *machine.Batch) {
	for _, c := range b.Commands() {
		if data, rejected := m.apply(b.Index(), c); rejected {
			b.Reject(string(data))
		} else {
			b.Result(data)
		}
	}
}

// apply is what a command does. One that begins with "no" is rejected, the
// result of one that begins with "big" is large.
func (m *ledger) apply(i codec.Index, c []byte) (data []byte, rejected bool) {
	if len(c) >= 2 && string(c[:2]) == "no" {
		return append([]byte("refused "), c...), true
	}
	m.text = fmt.Appendf(m.text, "%d:%s\n", i, c)
	data = fmt.Appendf(nil, "%s after %d bytes", c, len(m.text))
	if len(c) >= 3 && string(c[:3]) == "big" {
		data = append(data, make([]byte, 600)...)
	}
	return data, false
}

func (m *ledger) Query(dst, _ []byte) ([]byte, error) { return append(dst, m.text...), nil }

// model is the rules of client sessions, one entry at a time, in the most
// obvious way.
type model struct {
	limits   limits
	machine  ledger
	sessions map[codec.SessionID]*modelSession
	fill     codec.BlockFill
	digests  []codec.Digest // of block ends
	seen     map[string]int // how often each rule was reached
}

type modelSession struct {
	last codec.Index
	low  uint64
	kept map[uint64]Result
}

func (m *model) entry(e codec.Entry) (r Result, answered bool) {
	if command, err := codec.DecodeCommand(e.Data); e.Kind == codec.KindCommand && err == nil {
		r, answered = m.command(e.Index, command), true
	}
	if m.fill.Add(len(e.Data)) {
		for m.kept() > m.limits.kept {
			m.seen["greatest evicted"]++
			m.evictGreatest()
		}
		m.digests = append(m.digests, m.digest())
	}
	return r, answered
}

func (m *model) command(i codec.Index, c codec.Command) Result {
	if c.Opens() {
		if len(m.sessions) == m.limits.sessions {
			m.seen["oldest evicted"]++
			m.evictOldest()
		}
		id := codec.SessionID(i)
		m.sessions[id] = &modelSession{last: i, low: 1, kept: map[uint64]Result{}}
		return Result{Session: id, Index: i, Nonce: c.Payload}
	}
	r := Result{Session: c.Session, Seq: c.Seq, Index: i}
	s, known := m.sessions[c.Session]
	if !known {
		r.Expired = true
		return r
	}
	s.last = i
	s.low = max(s.low, c.Low)
	for seq := range s.kept {
		if seq < s.low {
			delete(s.kept, seq)
		}
	}
	if first, repeated := s.kept[c.Seq]; repeated {
		return first
	}
	switch {
	case c.Seq < s.low:
		r.Data, r.Rejected, r.Answered = []byte(reasonAnswered), true, true
	case c.Seq > c.Low+1024:
		r.Data, r.Rejected = []byte(reasonWindow), true
	default:
		r.Data, r.Rejected = m.machine.apply(i, c.Payload)
		s.kept[c.Seq] = r
	}
	return r
}

func (s *modelSession) bytes() (n int) {
	for _, r := range s.kept {
		n += 128 + len(r.Data)
	}
	return n
}

func (m *model) kept() (n int) {
	for _, s := range m.sessions {
		n += s.bytes()
	}
	return n
}

func (m *model) evictOldest() {
	delete(m.sessions, slices.MinFunc(slices.Collect(maps.Keys(m.sessions)), func(a, b codec.SessionID) int {
		return int(m.sessions[a].last) - int(m.sessions[b].last)
	}))
}

func (m *model) evictGreatest() {
	delete(m.sessions, slices.MinFunc(slices.Collect(maps.Keys(m.sessions)), func(a, b codec.SessionID) int {
		x, y := m.sessions[a], m.sessions[b]
		if x.bytes() != y.bytes() {
			return y.bytes() - x.bytes()
		}
		return int(x.last) - int(y.last)
	}))
}

// digest is computed from nothing but the state, as doc.go says it.
func (m *model) digest() codec.Digest {
	var sum machine.MultisetHash
	element := func(kind byte, data []byte, numbers ...uint64) {
		e := []byte{kind}
		for _, n := range numbers {
			e = binary.BigEndian.AppendUint64(e, n)
		}
		sum.Add(append(e, data...))
	}
	for id, s := range m.sessions {
		element(1, nil, uint64(id), uint64(s.last), s.low)
		for seq, r := range s.kept {
			rejected := byte(0)
			if r.Rejected {
				rejected = 1
			}
			element(2, append([]byte{rejected}, r.Data...), uint64(id), seq, uint64(r.Index))
		}
	}
	of, sessions := m.machine.Digest(), sum.Sum()
	return blake3.Sum256(append(append([]byte{3}, of[:]...), sessions[:]...))
}

// small are limits that random logs reach.
var small = limits{sessions: 3, kept: 2000}

func newSmall(m machine.Machine) *Core {
	c := New(m)
	c.sessions = newTable(small)
	return c
}

// clone is a result whose data stays.
func clone(r Result) Result {
	r.Data, r.Nonce = append([]byte(nil), r.Data...), append([]byte(nil), r.Nonce...)
	return r
}

// closing is data with which any block closes.
var closing = make([]byte, codec.BlockBytes)

func drawEntry(t *rapid.T, i codec.Index, opened []codec.SessionID) codec.Entry {
	e := codec.Entry{Index: i, Term: 1, Kind: codec.KindCommand}
	switch kind := rapid.IntRange(0, 29).Draw(t, "kind"); {
	case kind == 0:
		e.Kind = codec.KindNoop
	case kind == 1:
		e.Kind, e.Data = codec.KindConfig, closing[:10]
	case kind == 2:
		e.Kind, e.Data = codec.KindConfig, closing
	case kind == 3:
		e.Data = []byte("no envelope")
	case kind <= 5 || len(opened) == 0:
		e.Data = codec.AppendCommand(nil, codec.Command{Payload: make([]byte, codec.OpenNonce)})
	default:
		// A few numbers close together, and some at the edge of the window.
		low := rapid.Uint64Range(1, 6).Draw(t, "low")
		seq := low + rapid.SampledFrom([]uint64{0, 0, 1, 1, 2, 3, Window, Window + 1}).Draw(t, "above")
		newest := opened[max(0, len(opened)-5):]
		session := rapid.SampledFrom(append(slices.Clone(newest), 1<<40)).Draw(t, "session")
		payload := rapid.SampledFrom([]string{"a", "b", "", "no", "no more", "big", "bigger"}).Draw(t, "payload")
		e.Data = codec.AppendCommand(nil, codec.Command{Session: session, Seq: seq, Low: low, Payload: []byte(payload)})
	}
	return e
}

func drawLog(t *rapid.T) (log []codec.Entry) {
	var opened []codec.SessionID
	for i := range codec.Index(rapid.IntRange(1, 200).Draw(t, "entries")) {
		e := drawEntry(t, i+1, opened)
		if c, err := codec.DecodeCommand(e.Data); e.Kind == codec.KindCommand && err == nil && c.Opens() {
			opened = append(opened, codec.SessionID(e.Index))
		}
		log = append(log, e)
	}
	return log
}

// TestAgainstModel applies random logs in random pieces and compares results,
// digests and sessions with the model.
func TestAgainstModel(t *testing.T) {
	seen := map[string]int{} // that the logs reach every rule
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		m := &model{limits: small, sessions: map[codec.SessionID]*modelSession{}, seen: seen}
		c := newSmall(new(ledger))
		for rest := log; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			var want, got []Result
			for _, e := range rest[:n] {
				if r, answered := m.entry(e); answered {
					want = append(want, clone(r))
					note(seen, r, e.Index)
				}
			}
			require.NoError(t, c.Apply(rest[:n], func(r Result) { got = append(got, clone(r)) }))
			require.Equal(t, want, got)
			require.Equal(t, rest[n-1].Index, c.Applied())
			require.Equal(t, m.digest(), c.Digest(), "at %d", c.Applied())
			compareTable(t, m, c.sessions)
			rest = rest[n:]
		}
		for block, d := range m.digests {
			got, ok := c.DigestAt(uint64(block))
			require.True(t, ok || len(m.digests)-block > digestsKept)
			require.True(t, !ok || d == got, "at the end of block %d", block)
		}
	})
	for _, rule := range []string{"opened", "expired", "repeat", "window", "answered", "machine's rejection", "result", "oldest evicted", "greatest evicted"} {
		require.NotZero(t, seen[rule], "no log reached: %s", rule)
	}
}

func note(seen map[string]int, r Result, i codec.Index) {
	switch {
	case r.Nonce != nil:
		seen["opened"]++
	case r.Expired:
		seen["expired"]++
	case r.Index != i:
		seen["repeat"]++
	case r.Rejected && string(r.Data) == reasonWindow:
		seen["window"]++
	case r.Rejected && string(r.Data) == reasonAnswered:
		seen["answered"]++
	case r.Rejected:
		seen["machine's rejection"]++
	default:
		seen["result"]++
	}
}

func compareTable(t *rapid.T, m *model, got *table) {
	require.Equal(t, len(m.sessions), len(got.byID))
	require.Equal(t, m.kept(), got.kept)
	for id, s := range m.sessions {
		require.NotNil(t, got.byID[id])
		require.Len(t, got.byID[id].live(), len(s.kept))
		require.Equal(t, s.bytes(), got.byID[id].kept)
	}
	var last codec.Index
	for s := got.ring.newer; s != &got.ring; s = s.newer {
		require.Greater(t, s.last, last, "the sessions are in the order of their last use")
		last = s.last
	}
}
