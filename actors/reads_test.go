package actors

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// readIndex is a ReadIndex that waits at most so long.
func (m *meshMember) readIndex(t *testing.T, d time.Duration) (codec.Index, error) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return m.ReadIndex(ctx)
}

// P2, N1: a leader that was cut off answers no strong read, not even those that
// came before it could know; once it is back it answers with what others wrote.
func TestCutOffLeaderAnswersNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 0)
		l := x.leader()
		l.execute(t, "old")
		x.isolate(l, true)
		require.True(t, l.View().Lead, "it does not know yet")
		early := make(chan codec.Index, 1)
		go func() {
			at, err := l.readIndex(t, time.Minute)
			require.NoError(t, err)
			early <- at
		}()
		last := x.others(l)[0].execute(t, "new").Index
		for range 10 {
			_, err := l.readIndex(t, 300*time.Millisecond)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Empty(t, early)
		x.isolate(l, false)
		at, err := l.readIndex(t, time.Minute)
		require.NoError(t, err)
		require.GreaterOrEqual(t, at, last)
		require.GreaterOrEqual(t, <-early, last)
		data, _, err := l.Query(t.Context(), nil, at)
		require.NoError(t, err)
		require.Equal(t, "new", string(data))
	})
}

// Strong reads through followers and observers are answered, and those of a moment
// share one question to the leader.
func TestReadsThroughAnyMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 1)
		l := x.leader()
		for _, m := range append(x.others(l), x.members[3]) {
			last := m.execute(t, string(m.id)).Index
			before := x.carried(codec.TypeReadIndex)
			var all sync.WaitGroup
			for range 500 {
				all.Go(func() {
					at, err := m.readIndex(t, time.Minute)
					require.NoError(t, err)
					require.GreaterOrEqual(t, at, last)
				})
			}
			all.Wait()
			require.LessOrEqual(t, x.carried(codec.TypeReadIndex)-before, 3, "questions for 500 reads")
		}
	})
}

// N1: a read that begins after a write was acknowledged, anywhere, sees it, also
// while leaders are cut off one after the other.
func TestReadsWhileLeadersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 1)
		observer := x.members[3]
		for range 3 {
			l := x.leader()
			x.isolate(l, true)
			for range 5 {
				last := x.others(l)[0].execute(t, "x").Index
				for _, m := range []*meshMember{x.others(l)[1], observer} {
					at, err := m.readIndex(t, time.Minute)
					require.NoError(t, err)
					require.GreaterOrEqual(t, at, last)
				}
			}
			x.isolate(l, false)
		}
	})
}

// Without a leader a strong read says so after a while; a local one is answered
// with its index, and one after an index waits for that, as long as ctx lives.
func TestReadsWithoutLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newMesh(t, 0)
		l := x.leader()
		m := x.others(l)[0]
		last := m.execute(t, "a").Index
		x.isolate(m, true)
		_, err := m.readIndex(t, time.Minute)
		require.ErrorIs(t, err, ErrNoLeader)

		data, at, err := m.Query(t.Context(), nil, 0)
		require.NoError(t, err)
		require.Equal(t, "a", string(data))
		require.Equal(t, last, at)

		next := l.execute(t, "b").Index
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err = m.Query(ctx, nil, next)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		x.isolate(m, false)
		data, at, err = m.Query(t.Context(), nil, next)
		require.NoError(t, err)
		require.Equal(t, "b", string(data))
		require.GreaterOrEqual(t, at, next)
	})
}
