package actors

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/replay"
)

// in is how run begins a command in a slot.
func (m *meshMember) in(session codec.SessionID, seq, low uint64, command string) func() (*Call, error) {
	return func() (*Call, error) { return m.BeginIn(Slot{Session: session, Seq: seq, Low: low}, []byte(command)) }
}

func (m *meshMember) open(t *testing.T) codec.SessionID {
	t.Helper()
	r := <-m.run(t.Context(), m.BeginSession)
	require.NoError(t, r.err)
	require.NoError(t, r.Err)
	return codec.SessionID(r.Index)
}

// N1: a command that a leader took, and whose commit it never learned, is asked
// for again through another member: it was applied, and the first result comes.
func TestRetryThroughAnotherMemberFindsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 0)
		l := x.leader()
		a, b := x.others(l)[0], x.others(l)[1]
		s := a.open(t)
		x.link(a, l, true) // its appends arrive, their acknowledgements do not
		x.link(b, l, true)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		r := <-l.run(ctx, l.in(s, 1, 1, "once"))
		require.ErrorIs(t, r.err, context.DeadlineExceeded)
		require.True(t, r.maybe, "its fate is unknown")
		x.until("another leads", func() bool { return a.View().Lead || b.View().Lead })
		x.until("it is applied", func() bool { return a.View().Applied == a.View().Raft.Commit && a.machine.commands == 1 })
		again := <-a.run(t.Context(), a.in(s, 1, 1, "once"))
		require.NoError(t, again.Err)
		require.Equal(t, "once", string(again.Data))
		x.link(a, l, false)
		x.link(b, l, false)
		third := <-l.run(t.Context(), l.in(s, 1, 1, "once"))
		require.Equal(t, again.Outcome, third.Outcome)
		x.requireApplied(x.leader(), 1)
	})
}

// N1: a command that is lost with its leader is applied when it is asked for
// through another member; the old leader's copy goes.
func TestRetryThroughAnotherMemberAppliesWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 0)
		l := x.leader()
		a := x.others(l)[0]
		s := a.open(t)
		x.isolate(l, true)
		first := l.run(t.Context(), l.in(s, 1, 1, "once")) // waits until it is known
		time.Sleep(100 * time.Millisecond)
		again := <-a.run(t.Context(), a.in(s, 1, 1, "once"))
		require.NoError(t, again.Err)
		require.Empty(t, first)
		x.isolate(l, false)
		require.Equal(t, again, <-first, "whoever asked first learns of it as well")
		x.requireApplied(x.leader(), 1)
	})
}

// A command of the node's own session survives the change of its leader: each is
// applied once, on every member.
func TestCommandsInFlightWhileLeadersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 1)
		commands := 0
		for range 3 {
			l := x.leader()
			var calls []<-chan tried
			for i := range 20 {
				for _, m := range append(x.others(l), x.members[3]) {
					name := fmt.Append(nil, commands, i, m.id)
					calls = append(calls, m.run(t.Context(), func() (*Call, error) { return m.Begin(name) }))
					commands++
				}
				if i == 10 {
					x.isolate(l, true)
				}
				time.Sleep(meshDelay / 2)
			}
			for _, c := range calls {
				r := <-c
				require.NoError(t, r.err)
				require.NoError(t, r.Err)
			}
			x.isolate(l, false)
			x.leader()
		}
		x.requireApplied(x.leader(), commands)
	})
}

// Commands of one session may be in flight together, through any members, in any
// order; each is applied once, and asked for again gives its first result until
// the session's low-water mark passes it.
func TestSlotsOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 0)
		s := x.members[1].open(t)
		const count = 50
		first := map[uint64]tried{}
		for round := range 2 {
			var calls [count + 1]<-chan tried
			for i := range uint64(count) {
				seq := (i*37)%count + 1
				m := x.members[(i+uint64(round))%3]
				calls[seq] = m.run(t.Context(), m.in(s, seq, 1, fmt.Sprint(seq)))
			}
			for seq := uint64(1); seq <= count; seq++ {
				r := <-calls[seq]
				require.NoError(t, r.Err)
				require.Equal(t, fmt.Sprint(seq), string(r.Data))
				if round == 0 {
					first[seq] = r
				}
				require.Equal(t, first[seq], r)
			}
		}
		m := x.members[0]
		require.NoError(t, (<-m.run(t.Context(), m.in(s, count+1, count, "last"))).Err)
		r := <-m.run(t.Context(), m.in(s, 1, 1, "1"))
		require.ErrorIs(t, r.Err, ErrAnswered)
		require.True(t, r.Maybe, "it is not said that nothing happened")
		require.Equal(t, first[count], <-m.run(t.Context(), m.in(s, count, count, "still kept")))
		x.requireApplied(x.leader(), count+1)
	})
}

// A slot that cannot be is refused at once.
func TestSlotsAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		for _, s := range []Slot{
			{Seq: 1, Low: 1},
			{Session: 2, Low: 1},
			{Session: 2, Seq: 1},
			{Session: 2, Seq: 1, Low: 2},
			{Session: 2, Seq: replay.Window + 2, Low: 1},
		} {
			_, err := x.BeginIn(s, []byte("x"))
			require.ErrorContains(t, err, "lowest unanswered", "%+v", s)
		}
		_, err := x.BeginIn(Slot{Session: 2, Seq: 1, Low: 1}, nil)
		require.Error(t, err)
		call, err := x.BeginIn(Slot{Session: 77, Seq: 1, Low: 1}, []byte("x"))
		require.NoError(t, err)
		require.ErrorIs(t, (<-call.done).Err, ErrExpired, "a session that nobody opened")
		require.Empty(t, x.client.named.by)
		x.execute("a")
		require.Equal(t, 1, x.machine.commands)
	})
}

// A session that was evicted, by 4,096 others, fails for what it has in flight and
// for what it asks again; nothing is applied twice, or in a session made silently.
func TestEvictedSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		x.execute("own")
		call, err := x.BeginSession()
		require.NoError(t, err)
		s := codec.SessionID((<-call.done).Index)
		at := func(seq uint64) Outcome {
			call, err := x.BeginIn(Slot{Session: s, Seq: seq, Low: 1}, []byte("x"))
			require.NoError(t, err)
			return <-call.done
		}
		require.NoError(t, at(1).Err)
		var opens []*Call
		for range replay.MaxSessions {
			call, err := x.BeginSession()
			require.NoError(t, err)
			opens = append(opens, call)
		}
		ids := map[codec.Index]bool{}
		for _, call := range opens {
			ids[(<-call.done).Index] = true
		}
		require.Len(t, ids, replay.MaxSessions)
		for _, seq := range []uint64{1, 2} {
			o := at(seq)
			require.ErrorIs(t, o.Err, ErrExpired)
			require.True(t, o.Maybe)
		}
		require.Equal(t, 2, x.machine.commands)

		// The node's own session is gone as well: what it takes on now says so, and
		// the next has a new one.
		call, err = x.Begin([]byte("unlucky"))
		require.NoError(t, err)
		o := <-call.done
		require.ErrorIs(t, o.Err, ErrExpired)
		require.True(t, o.Maybe)
		x.execute("lucky")
		require.Equal(t, 3, x.machine.commands)
	})
}

// After ctx ends with the answer there, the answer counts.
func TestAwaitPrefersTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		for range 50 { // select picks at random
			call, err := x.Begin([]byte("x"))
			require.NoError(t, err)
			time.Sleep(time.Second)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			o, _, err := x.Await(ctx, call)
			require.NoError(t, err)
			require.NotZero(t, o.Index)
		}
	})
}
