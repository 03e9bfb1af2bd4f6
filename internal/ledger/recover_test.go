package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// Configuration entries of these tests, and what they mean to lineFold: "found n",
// "+n", "-n" and "recover n" for member n. Member 0, or none, is the ledger's own
// node.
func conf(i codec.Index, term codec.Term, what string) codec.Entry {
	return codec.Entry{Index: i, Term: term, Kind: codec.KindConfig, Data: []byte(what)}
}

var own = codec.RaftIDOf(testPeer, [16]byte{1})

func lineFold(c codec.Configuration, e codec.Entry) (codec.Configuration, error) {
	var n codec.RaftID
	what := string(e.Data)
	if _, err := fmt.Sscanf(strings.Trim(what, "+-foundrecv "), "%d", &n); n == 0 || err != nil {
		n = own
	}
	m := codec.Member{RaftID: n, Peer: "p", Role: codec.RoleVoter}
	switch {
	case what[0] == '+':
		c = c.With(m)
	case what[0] == '-':
		c = c.Without(n)
	case what[0] == 'f', what[0] == 'r' && len(c.Members) == 1:
		c = c.With(m).Began(e)
	default:
		return c, errors.New("it cannot stand here")
	}
	c.Index = e.Index
	return c, nil
}

func lineOpen(t testing.TB, fs vfs.FS) *Ledger {
	t.Helper()
	opts := testOptions(fs)
	opts.Fold = lineFold
	l, err := Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// lost is a ledger of one of two voters: entry 3 is committed and applied, entries
// 4 and 5 nobody has committed.
func lost(t testing.TB, fs vfs.FS) *Ledger {
	t.Helper()
	l := lineOpen(t, fs)
	require.NoError(t, l.Found(conf(1, 1, "found")))
	log := []codec.Entry{conf(2, 1, "+7"), entry(3, 1, 20), entry(4, 2, 20), entry(5, 2, 20)}
	require.NoError(t, l.Save(log, &codec.HardState{Term: 3, Vote: 7, Commit: 3}, true))
	c, err := l.fold(codec.Configuration{}, append([]codec.Entry{conf(1, 1, "found")}, log...))
	require.NoError(t, err)
	require.NoError(t, l.SetRaftApplied(3, c))
	return l
}

// goesOn are the entries of a recovery behind index 5.
func goesOn() []codec.Entry { return []codec.Entry{conf(6, 4, "-7"), conf(7, 4, "recover")} }

var newLog = codec.LogIDOf([]byte("recover"))

func TestRecover(t *testing.T) {
	fs := vfs.NewMem()
	l := lost(t, fs)
	oldLog := codec.LogIDOf([]byte("found"))
	require.Equal(t, oldLog, l.LogID())
	require.Empty(t, l.Before())
	end, err := l.End()
	require.NoError(t, err)
	require.Equal(t, codec.Cursor{Index: 5, Term: 2}, end.Last)
	require.Equal(t, codec.HardState{Term: 3, Vote: 7, Commit: 3}, end.Hard)
	require.Len(t, end.Config.Members, 2)

	require.NoError(t, l.Recover(goesOn()))
	check := func(l *Ledger) {
		require.Equal(t, newLog, l.LogID())
		require.Equal(t, []codec.Recovery{{Log: oldLog, Index: 7}}, l.Before())
		require.Equal(t, codec.HardState{Term: 4, Vote: own, Commit: 7}, l.HardState())
		applied, config := l.RaftApplied()
		require.EqualValues(t, 7, applied)
		require.Len(t, config.Members, 1)
		require.Equal(t, newLog, config.Log)
		got := all(t, l)
		require.Len(t, got, 7, "what was not committed is kept")
		require.True(t, sameEntries(got[5:], goesOn()))
	}
	check(l)
	require.NoError(t, l.Close())
	offline, err := ReadEnd(fs, "/data/group", lineFold)
	require.NoError(t, err)
	require.Equal(t, codec.Cursor{Index: 7, Term: 4}, offline.Last)
	var told []*DamageError
	require.NoError(t, Verify(fs, "/data/group", lineFold, func(d *DamageError) { told = append(told, d) }))
	require.Empty(t, told)
	l = lineOpen(t, fs)
	check(l)

	more := []codec.Entry{entry(8, 5, 250<<10), entry(9, 5, 250<<10)}
	require.NoError(t, l.Save(more, &codec.HardState{Term: 5, Vote: own, Commit: 9}, true))
	_, err = l.Seal(9)
	require.NoError(t, err)
	require.EqualValues(t, 9, l.HeadCursor().Index)
	require.Equal(t, newLog, l.HeadConfig().Log)
}

// What is not the recovery of this ledger, by this node, changes nothing.
func TestRecoverRefuses(t *testing.T) {
	l := lost(t, vfs.NewMem())
	before := pictureOf(l)
	for name, entries := range map[string][]codec.Entry{
		"nothing":             nil,
		"a gap":               {conf(7, 4, "-7"), conf(8, 4, "recover")},
		"over what is there":  {conf(5, 4, "-7"), conf(6, 4, "recover")},
		"an old term":         {conf(6, 3, "-7"), conf(7, 3, "recover")},
		"two terms":           {conf(6, 4, "-7"), conf(7, 5, "recover")},
		"a command":           {entry(6, 4, 20), conf(7, 4, "recover")},
		"two members":         {conf(6, 4, "recover")},
		"no recovery":         {conf(6, 4, "-7")},
		"something behind it": {conf(6, 4, "-7"), conf(7, 4, "recover"), conf(8, 4, "+0")},
		"another survives":    {conf(6, 4, "-0"), conf(7, 4, "recover 7")},
	} {
		require.Error(t, l.Recover(entries), name)
		require.Equal(t, before, pictureOf(l), name)
	}
	require.NoError(t, l.Recover(goesOn()))
}

func TestNothingToRecover(t *testing.T) {
	l := lineOpen(t, vfs.NewMem())
	_, err := l.End()
	require.ErrorIs(t, err, ErrNoLog)
	require.NoError(t, l.OpenEmpty())
	_, err = l.End()
	require.ErrorIs(t, err, ErrNoLog)

	l = open(t, vfs.NewMem())
	require.NoError(t, l.Release(0, encode(t, cut(entries(1, 9, 1)))))
	_, err = l.End()
	require.ErrorIs(t, err, ErrNotAdopted)
	require.ErrorIs(t, l.Recover(goesOn()), ErrNotAdopted)

	_, err = ReadEnd(vfs.NewMem(), "/data/group", testFold)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Blocks that are ahead of the raft view are adopted first, as at open, and of a
// stale tail nothing stays.
func TestRecoverAdoptsWhatIsAhead(t *testing.T) {
	fs := vfs.NewMem()
	l := lineOpen(t, fs)
	log := []codec.Entry{conf(1, 1, "found"), conf(2, 1, "+7")}
	for i := codec.Index(3); i <= 12; i++ {
		log = append(log, entry(i, 3, 100<<10))
	}
	require.NoError(t, l.Found(log[0]))
	stale := []codec.Entry{log[1]}
	for i := codec.Index(3); i <= 40; i++ {
		stale = append(stale, entry(i, 2, 20))
	}
	require.NoError(t, l.Save(stale, &codec.HardState{Term: 2, Commit: 2}, true))
	require.NoError(t, l.Release(0, encode(t, cut(log))))
	end, err := l.End()
	require.NoError(t, err)
	require.Equal(t, l.HeadCursor(), end.Last)
	require.EqualValues(t, 3, end.Hard.Term)

	at := end.Last.Index
	require.NoError(t, l.Recover([]codec.Entry{conf(at+1, 4, "-7"), conf(at+2, 4, "recover")}))
	for range 2 {
		require.Equal(t, at+2, l.LastIndex())
		require.Equal(t, codec.HardState{Term: 4, Vote: own, Commit: at + 2}, l.HardState())
		l = reopenLine(t, l, fs)
	}
}

func reopenLine(t *testing.T, l *Ledger, fs vfs.FS) *Ledger {
	t.Helper()
	require.NoError(t, l.Close())
	return lineOpen(t, fs)
}

// A crash before leaves the old log, one behind it the new one, nothing between
// (faults S1, P3).
func TestCrashAroundRecover(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := lost(t, fs)
	require.NoError(t, l.store.commit(l.store.db.NewBatch(), true))
	old, oldLog := pictureOf(l), l.LogID()
	before := fs.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, l.Recover(goesOn()))
	now := pictureOf(l)
	for seed := range uint64(6) {
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed) * 20, RNG: rand.New(rand.NewPCG(seed, 1))}
		again := lineOpen(t, fs.CrashClone(cfg))
		require.Equal(t, now, pictureOf(again))
		require.Equal(t, newLog, again.LogID())
	}
	again := lineOpen(t, before)
	require.Equal(t, old, pictureOf(again))
	require.Equal(t, oldLog, again.LogID())
}

// A joiner that was told the log after a recovery meets the one before it on its
// way; it must be in the one that it was told when it becomes a member. So must
// one to which entries come by Raft, one that fetched blocks, and one that holds a
// snapshot.
func TestJoinerPassesOlderLogs(t *testing.T) {
	log := []codec.Entry{conf(1, 1, "found 7"), conf(2, 1, "+8"), conf(3, 2, "-8"), conf(4, 2, "recover 7"), conf(5, 3, "+0")}
	for i := codec.Index(6); i <= 9; i++ {
		log = append(log, entry(i, 3, 100<<10))
	}
	config := func(l *Ledger, to codec.Index) codec.Configuration {
		c, err := l.fold(codec.Configuration{}, log[:to])
		require.NoError(t, err)
		return c
	}
	newLog := codec.LogIDOf([]byte("recover 7"))
	var wrong *LogIDError
	told := func(id codec.LogID) *Ledger {
		l := lineOpen(t, vfs.NewMem())
		if !id.IsZero() {
			require.NoError(t, l.SetLogID(id))
		}
		return l
	}
	byRaft := func(l *Ledger) error {
		require.NoError(t, l.OpenEmpty())
		require.NoError(t, l.Save(log, &codec.HardState{Term: 3, Commit: 9}, true))
		for i := codec.Index(1); i <= 4; i++ {
			require.NoError(t, l.SetRaftApplied(i, config(l, i)))
		}
		return l.SetRaftApplied(9, config(l, 9))
	}
	bySession := func(l *Ledger) error {
		require.NoError(t, l.Release(0, encode(t, cut(log))))
		_, err := l.AdoptHead()
		return err
	}
	bySnapshot := func(l *Ledger) error {
		require.NoError(t, l.OpenEmpty())
		require.NoError(t, l.Release(0, encode(t, cut(log))))
		err := l.CheckAdopt(l.HeadCursor(), nil)
		if adopted := l.Adopt(l.HeadCursor(), nil); adopted != nil {
			require.Error(t, err, "nothing can be refused after the check")
		}
		return err
	}
	for name, join := range map[string]func(*Ledger) error{"by Raft": byRaft, "by session": bySession, "by snapshot": bySnapshot} {
		l := told(newLog)
		require.NoError(t, join(l), name)
		require.Equal(t, newLog, l.LogID())
		require.Equal(t, []codec.Recovery{{Log: codec.LogIDOf([]byte("found 7")), Index: 4}}, l.Before())

		l = told(codec.LogID{})
		require.NoError(t, join(l), name)
		require.Equal(t, newLog, l.LogID(), "learned where it became a member")

		for _, other := range []codec.LogID{codec.LogIDOf([]byte("found 7")), {9}} {
			l = told(other)
			require.ErrorAs(t, join(l), &wrong, name)
			require.Equal(t, &LogIDError{Stored: other, Given: newLog}, wrong)
			require.Equal(t, other, l.LogID())
		}
	}
}

// Another log id than that of the configuration is damage, and so is a
// configuration that the log does not give.
func TestLineageIsVerified(t *testing.T) {
	change := func(t *testing.T, key []byte, body func(*Ledger) []byte) (told []*DamageError, opened error) {
		fs := vfs.NewMem()
		l := lost(t, fs)
		require.NoError(t, l.Recover(goesOn()))
		value := body(l)
		require.NoError(t, l.Close())
		raw(t, fs, func(db *pebble.DB) { require.NoError(t, db.Set(key, withSum(key, value), pebble.Sync)) })
		require.NoError(t, Verify(fs, "/data/group", lineFold, func(d *DamageError) { told = append(told, d) }))
		opts := testOptions(fs)
		opts.Fold = lineFold
		l, opened = Open(opts)
		if opened == nil {
			require.NoError(t, l.Close())
		}
		return told, opened
	}
	told, err := change(t, single(prefixLog), func(*Ledger) []byte { return make([]byte, 32) })
	require.Len(t, told, 1)
	require.ErrorContains(t, told[0], "the log id is 0000")
	var damage *DamageError
	require.ErrorAs(t, err, &damage)
	require.EqualValues(t, 7, damage.Index)

	told, err = change(t, single(prefixApplied), func(l *Ledger) []byte {
		_, c := l.RaftApplied()
		c.Before = nil
		body, err := appliedBody(7, c)
		require.NoError(t, err)
		return body
	})
	require.NoError(t, err, "the log is not read at open")
	require.Len(t, told, 1)
	require.ErrorContains(t, told[0], "the configuration applied at index 7")
}
