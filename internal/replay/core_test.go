package replay

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/kv"
)

// scribe writes logs, one entry after the other.
type scribe struct{ log []codec.Entry }

func (s *scribe) add(kind codec.Kind, data []byte) codec.Index {
	i := codec.Index(len(s.log) + 1)
	s.log = append(s.log, codec.Entry{Index: i, Term: 1, Kind: kind, Data: data})
	return i
}

func (s *scribe) open() codec.SessionID {
	nonce := make([]byte, codec.OpenNonce)
	nonce[0] = byte(len(s.log))
	return codec.SessionID(s.add(codec.KindCommand, codec.AppendCommand(nil, codec.Command{Payload: nonce})))
}

func (s *scribe) command(session codec.SessionID, seq, low uint64, payload string) codec.Index {
	return s.add(codec.KindCommand, codec.AppendCommand(nil, codec.Command{Session: session, Seq: seq, Low: low, Payload: []byte(payload)}))
}

// apply applies what c has not applied yet, in one call.
func (s *scribe) apply(t *testing.T, c *Core) (results []Result) {
	t.Helper()
	require.NoError(t, c.Apply(s.log[c.Applied():], func(r Result) { results = append(results, clone(r)) }))
	return results
}

func TestSessionIsOpenedThroughTheLog(t *testing.T) {
	var s scribe
	s.add(codec.KindConfig, []byte("configuration"))
	id := s.open()
	results := s.apply(t, New(new(ledger)))
	require.Len(t, results, 1)
	require.Equal(t, Result{Session: 2, Index: 2, Nonce: results[0].Nonce}, results[0])
	require.Equal(t, codec.SessionID(2), id)
	require.Equal(t, byte(1), results[0].Nonce[0])
}

func TestRepeatReturnsTheFirstResult(t *testing.T) {
	var s scribe
	m := new(ledger)
	c := New(m)
	id := s.open()
	s.command(id, 1, 1, "once")
	s.command(id, 1, 1, "once") // in the same batch
	first := s.apply(t, c)[1:]
	s.command(id, 1, 1, "once") // in a later one
	later := s.apply(t, c)
	want := Result{Session: id, Seq: 1, Index: 2, Data: []byte("once after 7 bytes")}
	require.Equal(t, []Result{want, want}, first)
	require.Equal(t, []Result{want}, later)
	require.Equal(t, "2:once\n", string(m.text))
}

func TestRepeatedRejectionIsTheFirstOne(t *testing.T) {
	var s scribe
	c := New(new(ledger))
	id := s.open()
	s.command(id, 1, 1, "no")
	s.command(id, 1, 1, "yes, another payload: still the same command")
	results := s.apply(t, c)[1:]
	want := Result{Session: id, Seq: 1, Index: 2, Data: []byte("refused no"), Rejected: true}
	require.Equal(t, []Result{want, want}, results)
}

func TestCommandsOfASessionInAnyOrder(t *testing.T) {
	var s scribe
	m := new(ledger)
	c := New(m)
	id := s.open()
	for _, seq := range []uint64{4, 2, 5, 1, 3, 4, 1} {
		s.command(id, seq, 1, fmt.Sprint(seq))
	}
	s.apply(t, c)
	require.Equal(t, "2:4\n3:2\n4:5\n5:1\n6:3\n", string(m.text), "in the log's order, each once")
	var seqs []uint64
	for _, o := range c.sessions.byID[id].live() {
		seqs = append(seqs, o.seq)
	}
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, seqs)
}

func TestLowTrims(t *testing.T) {
	var s scribe
	m := new(ledger)
	c := New(m)
	id := s.open()
	for seq := range uint64(10) {
		s.command(id, seq+1, 1, "x")
	}
	s.apply(t, c)
	held := c.sessions.kept
	s.command(id, 11, 9, "y")
	s.apply(t, c)
	require.Len(t, c.sessions.byID[id].live(), 3, "9, 10 and 11 are kept")
	require.Less(t, c.sessions.kept, held/2)

	text := string(m.text)
	s.command(id, 8, 1, "x") // a copy that comes late
	s.command(id, 9, 1, "x") // an older low takes nothing back
	results := s.apply(t, c)
	require.Equal(t, reasonAnswered, string(results[0].Data))
	require.True(t, results[0].Rejected && results[0].Answered, "whether it was applied once is not known any more")
	require.Equal(t, codec.Index(10), results[1].Index)
	require.False(t, results[1].Answered)
	require.Equal(t, text, string(m.text))
	require.EqualValues(t, 9, c.sessions.byID[id].low)
}

func TestWindow(t *testing.T) {
	var s scribe
	m := new(ledger)
	c := New(m)
	id := s.open()
	s.command(id, 1+Window, 1, "far")
	s.command(id, 2+Window, 1, "too far")
	s.command(id, 3, 3, "an answer moves the window")
	s.command(id, 2+Window, 1, "too far") // the same bytes get the same answer
	results := s.apply(t, c)[1:]
	require.False(t, results[0].Rejected)
	for _, i := range []int{1, 3} {
		require.True(t, results[i].Rejected)
		require.False(t, results[i].Answered)
		require.Equal(t, reasonWindow, string(results[i].Data))
	}
	require.Equal(t, "2:far\n4:an answer moves the window\n", string(m.text))
}

func TestUnknownSessionExpires(t *testing.T) {
	var s scribe
	m := new(ledger)
	c := New(m)
	s.command(7, 1, 1, "never opened")
	results := s.apply(t, c)
	require.Equal(t, []Result{{Session: 7, Seq: 1, Index: 1, Expired: true}}, results)
	require.Empty(t, m.text)
	require.Empty(t, c.sessions.byID, "no session is made silently")
}

func TestLeastRecentlyUsedSessionIsEvicted(t *testing.T) {
	var s scribe
	m := new(ledger)
	c := newSmall(m)
	a, b, d := s.open(), s.open(), s.open()
	s.command(a, 1, 1, "of a")
	e := s.open() // b was used least recently
	s.command(b, 1, 1, "of b")
	s.command(a, 1, 1, "of a")
	s.command(d, 1, 1, "of d")
	results := s.apply(t, c)
	require.Equal(t, Result{Session: b, Seq: 1, Index: 6, Expired: true}, results[5])
	require.Equal(t, codec.Index(4), results[6].Index, "a repeat after the eviction of another session")
	require.False(t, results[7].Expired)

	s.open() // now e is
	s.command(e, 1, 1, "of e")
	require.True(t, s.apply(t, c)[1].Expired)
	require.Equal(t, "4:of a\n8:of d\n", string(m.text), "a retry after eviction is not applied again")
}

func TestManySessions(t *testing.T) {
	var s scribe
	c := New(new(ledger))
	first := s.open()
	for range MaxSessions - 1 {
		s.open()
	}
	s.command(first, 1, 1, "still here")
	require.False(t, s.apply(t, c)[MaxSessions].Expired)
	require.Len(t, c.sessions.byID, MaxSessions)
	s.open()
	s.command(first, 2, 2, "used recently")
	s.command(first+1, 1, 1, "the second is gone")
	results := s.apply(t, c)
	require.False(t, results[1].Expired)
	require.True(t, results[2].Expired)
	require.Len(t, c.sessions.byID, MaxSessions)
}

func TestGreatestSessionIsEvictedAtABlockEnd(t *testing.T) {
	var s scribe
	c := newSmall(new(ledger))
	a, b := s.open(), s.open()
	s.command(a, 1, 1, "big")
	s.command(b, 1, 1, "big")
	s.command(b, 2, 1, "big")
	s.apply(t, c)
	require.Greater(t, c.sessions.kept, small.kept)
	require.Len(t, c.sessions.byID, 2, "the block goes on")
	s.add(codec.KindConfig, closing)
	s.apply(t, c)
	require.Nil(t, c.sessions.byID[b])
	require.NotNil(t, c.sessions.byID[a], "the one that keeps less stays")
	require.LessOrEqual(t, c.sessions.kept, small.kept)
}

func TestOtherEntriesMoveTheIndexOnly(t *testing.T) {
	var s scribe
	c := New(new(ledger))
	before := c.Digest()
	s.add(codec.KindNoop, nil)
	s.add(codec.KindConfig, []byte("configuration"))
	s.add(codec.KindCommand, []byte("malformed"))
	s.add(codec.KindCommand, codec.AppendCommand(nil, codec.Command{Session: 1, Seq: 1, Low: 2}))
	require.Empty(t, s.apply(t, c))
	require.Equal(t, codec.Index(4), c.Applied())
	require.Equal(t, before, c.Digest())
}

func TestGap(t *testing.T) {
	var s scribe
	c := New(new(ledger))
	id := s.open()
	s.command(id, 1, 1, "x")
	s.command(id, 2, 1, "x")
	var gap *GapError
	require.ErrorAs(t, c.Apply(s.log[1:], nil), &gap)
	require.Equal(t, GapError{Want: 1, Got: 2}, *gap)
	require.ErrorAs(t, c.Apply([]codec.Entry{s.log[0], s.log[2]}, nil), &gap)
	require.Equal(t, GapError{Want: 2, Got: 3}, *gap)
	require.Zero(t, c.Applied(), "nothing was applied")
	require.NoError(t, c.Apply(nil, nil))
	require.Len(t, s.apply(t, c), 3)
	require.ErrorAs(t, c.Apply(s.log[2:], nil), &gap, "once only")
}

// batches notes where batches end.
type batches struct {
	kv.KV
	ends []codec.Index
}

func (m *batches) Apply(b *machine.Batch) {
	m.KV.Apply(b)
	m.ends = append(m.ends, b.Current())
}

func TestBatchNeverCrossesABlockEnd(t *testing.T) {
	var s scribe
	id := s.open()
	for seq := range uint64(300) {
		s.command(id, seq+1, seq+1, "x")
	}
	m := new(batches)
	c := New(m)
	s.apply(t, c)
	require.Equal(t, []codec.Index{128, 256, 301}, m.ends)
}

func TestDigestsOfBlockEnds(t *testing.T) {
	var s scribe
	c := New(new(ledger))
	d, end := c.BlockDigest()
	require.Zero(t, d)
	require.Zero(t, end)

	id := s.open()
	want := map[uint64]codec.Digest{}
	for block := range uint64(digestsKept + 6) {
		s.command(id, block+1, block+1, "x")
		closes := s.add(codec.KindConfig, closing)
		s.apply(t, c)
		want[block] = c.Digest()
		d, end = c.BlockDigest()
		require.Equal(t, codec.BlockDigest{Block: block, Digest: want[block]}, d)
		require.Equal(t, closes, end)
	}
	for block := range uint64(digestsKept + 7) {
		d, ok := c.DigestAt(block)
		require.Equal(t, block >= 6 && block < digestsKept+6, ok, "block %d", block)
		require.True(t, !ok || d == want[block], "block %d", block)
	}
}

// faulty panics when it is told to.
type faulty struct {
	ledger
	digest bool
}

var errFault = errors.New("fault")

func (m *faulty) Apply(b *machine.Batch) {
	for _, c := range b.Commands() {
		if string(c) == "panic" {
			panic(errFault)
		}
		b.Result(c)
	}
}

func (m *faulty) Query(dst, query []byte) ([]byte, error) {
	if string(query) == "panic" {
		panic(errFault)
	}
	if string(query) == "error" {
		return append(dst, "half an ans"...), errFault
	}
	return append(dst, query...), nil
}

func (m *faulty) Digest() codec.Digest {
	if m.digest {
		panic(errFault)
	}
	return codec.Digest{}
}

func requirePanic(t *testing.T, err error, during string, at codec.Index) {
	t.Helper()
	var p *PanicError
	require.ErrorAs(t, err, &p)
	require.ErrorIs(t, err, errFault)
	require.Equal(t, at, p.Index)
	require.Equal(t, during, p.During)
	require.Contains(t, string(p.Stack), "faulty")
	require.ErrorContains(t, err, fmt.Sprintf("during %s at index %d: fault", during, at))
}

func TestPanicInApplyNamesTheCommand(t *testing.T) {
	var s scribe
	c := New(new(faulty))
	id := s.open()
	for seq := range uint64(200) {
		payload := "x"
		if seq == 150 {
			payload = "panic"
		}
		s.command(id, seq+1, seq+1, payload)
	}
	results := 0
	err := c.Apply(s.log, func(Result) { results++ })
	requirePanic(t, err, "apply", 152)
	require.Equal(t, 128, results, "of the block before")
	require.Equal(t, codec.Index(128), c.Applied())

	require.Equal(t, err, c.Apply(s.log[128:], nil), "the core is unusable")
	_, queried := c.Query(nil, nil)
	require.Equal(t, err, queried)
	require.Equal(t, err, c.Err())
	require.True(t, c.Digest().IsZero())
}

func TestPanicInQuery(t *testing.T) {
	c := New(new(faulty))
	require.NoError(t, c.Err())
	answer, err := c.Query([]byte("dst "), []byte("question"))
	require.NoError(t, err)
	require.Equal(t, "dst question", string(answer))
	answer, err = c.Query([]byte("dst "), []byte("error"))
	require.Equal(t, errFault, err)
	require.Equal(t, "dst ", string(answer))
	require.NoError(t, c.Err(), "a wrong question does no harm")
	answer, err = c.Query([]byte("dst "), []byte("panic"))
	requirePanic(t, err, "query", 0)
	require.Equal(t, "dst ", string(answer))
	require.Equal(t, err, c.Err())
}

func TestPanicInDigest(t *testing.T) {
	var s scribe
	c := New(&faulty{digest: true})
	s.open()
	s.add(codec.KindConfig, closing)
	err := c.Apply(s.log, nil)
	requirePanic(t, err, "digest", 2)
	require.True(t, c.Digest().IsZero())
	require.Equal(t, err, c.Err())
}

// The digest is part of what members agree on: it is pinned.
func TestDigestVector(t *testing.T) {
	var s scribe
	c := New(kv.New())
	empty := c.Digest().String()
	id := s.open()
	put, err := kv.EncodeCommand(kv.Put{Key: "a", Value: []byte("1")})
	require.NoError(t, err)
	s.command(id, 1, 1, string(put))
	s.command(id, 2, 2, "malformed")
	s.apply(t, c)
	require.Equal(t, []string{
		"be69024971287a458a60499c4e647d57daf4a20b7e4dd0ad2d1ffb69ccf6e112",
		"15978a92b3109818838552a505f494a896ac66aada7dd44eed3c41221cff3625",
	}, []string{empty, c.Digest().String()})
}

// Of sessions that keep equally much, the one used least recently goes.
func TestOlderOfEqualSessionsIsEvicted(t *testing.T) {
	var s scribe
	c := newSmall(new(ledger))
	a, b, d := s.open(), s.open(), s.open()
	for seq := range uint64(2) { // the first result of each tells shorter numbers; it goes
		for _, id := range []codec.SessionID{b, a, d} {
			s.command(id, seq+1, seq+1, "big")
		}
	}
	s.apply(t, c)
	require.Equal(t, c.sessions.byID[a].kept, c.sessions.byID[b].kept)
	require.Equal(t, c.sessions.byID[a].kept, c.sessions.byID[d].kept)
	s.add(codec.KindConfig, closing)
	s.apply(t, c)
	require.Nil(t, c.sessions.byID[b])
	require.NotNil(t, c.sessions.byID[a])
	require.NotNil(t, c.sessions.byID[d])
}

// Outcomes come and go between two readings of the digest: what is new must be
// hashed, wherever it has moved to.
func TestDigestAfterOutcomesMoved(t *testing.T) {
	var s scribe
	often, seldom := New(new(ledger)), New(new(ledger))
	id := s.open()
	for seq := range uint64(3) {
		s.command(id, seq+1, 1, "x")
	}
	s.apply(t, often)
	s.apply(t, seldom)
	require.Equal(t, often.Digest(), seldom.Digest())
	s.command(id, 4, 1, "x")
	s.apply(t, often)
	often.Digest()
	s.apply(t, seldom)
	s.command(id, 4, 3, "x") // a repeat that only moves low
	s.apply(t, often)
	s.apply(t, seldom)
	require.Equal(t, often.Digest(), seldom.Digest())
}

func TestResultsOfTheGreatestSizeAreKept(t *testing.T) {
	var s scribe
	c := New(new(huge))
	id := s.open()
	s.command(id, 1, 1, "x")
	s.command(id, 1, 1, "x")
	results := s.apply(t, c)[1:]
	require.Len(t, results[0].Data, machine.MaxResult)
	require.Equal(t, results[0], results[1])
	require.Equal(t, machine.MaxResult+outcomeCost, c.sessions.kept)

	// 64 of them are more than all sessions may keep.
	for seq := range uint64(64) {
		s.command(id, seq+2, 1, "x")
	}
	s.add(codec.KindConfig, closing)
	s.command(id, 66, 66, "x")
	results = s.apply(t, c)
	require.True(t, results[len(results)-1].Expired)
	require.Zero(t, c.sessions.kept)
}

// huge is a machine whose results have the greatest size.
type huge struct{ ledger }

func (*huge) Apply(b *machine.Batch) {
	data := make([]byte, machine.MaxResult)
	for range b.Commands() {
		b.Result(data)
	}
}

func (*huge) Digest() codec.Digest { return codec.Digest{} }
