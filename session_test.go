package logmesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/counter"
	"github.com/logmesh/logmesh/machine/kv"
)

func encodedPut(t *testing.T, key, value string) []byte {
	t.Helper()
	command, err := kv.EncodeCommand(kv.Put{Key: key, Value: []byte(value)})
	require.NoError(t, err)
	return command
}

// A session is a value: what was written in it through one node is asked for again
// through another after that node stopped, after the leader changed, and after
// everybody restarted, and is not applied again.
func TestSessionOutlivesNodes(t *testing.T) {
	c := newCluster(t, 3)
	c.voters(3)
	ctx := testContext(t)
	s, err := c.group[1].OpenSession(ctx)
	require.NoError(t, err)
	first, err := c.group[c.leader()].ExecuteIn(ctx, s, logmesh.Slot{Seq: 1}, encodedPut(t, "k", "first"))
	require.NoError(t, err)
	c.put(1, "k", "second")

	kept, err := json.Marshal(s) // as a caller would keep it
	require.NoError(t, err)
	s = logmesh.Session{}
	require.NoError(t, json.Unmarshal(kept, &s))
	retry := func(i int) {
		r, err := c.group[i].ExecuteIn(testContext(t), s, logmesh.Slot{Seq: 1}, encodedPut(t, "k", "first"))
		require.NoError(t, err)
		require.Equal(t, first, r)
		require.Equal(t, "second", c.get(i, "k"))
	}
	old := c.leader()
	c.stop(old)
	retry((old + 1) % 3)
	c.start(old)
	retry(old)
	for i := range c.nodes {
		c.stop(i)
	}
	for i := range c.nodes {
		c.start(i)
	}
	retry(2)
}

// A typed client has the same.
func TestTypedSession(t *testing.T) {
	ctx := testContext(t)
	n, err := logmesh.Open(ctx, logmesh.Config{Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	c, err := logmesh.Join(ctx, n, logmesh.GroupConfig{Key: logmesh.NewKey(), Found: true}, counter.New())
	require.NoError(t, err)
	s, err := c.OpenSession(ctx)
	require.NoError(t, err)
	for range 3 {
		v, err := c.DoIn(ctx, s, logmesh.Slot{Seq: 1}, counter.Add{Name: "apples", By: 5})
		require.NoError(t, err)
		require.EqualValues(t, 5, v.Value)
	}
}

// Errors say what is known of a command: nothing happened, or its outcome is
// unknown, and why.
func TestSessionErrors(t *testing.T) {
	_, g := member(t, logmesh.NewKey(), true)
	ctx := testContext(t)
	s, err := g.OpenSession(ctx)
	require.NoError(t, err)
	for seq := uint64(1); seq <= 3; seq++ {
		_, err = g.ExecuteIn(ctx, s, logmesh.Slot{Seq: seq, Low: seq}, encodedPut(t, "k", "v"))
		require.NoError(t, err)
	}
	var unknown *logmesh.UnknownOutcomeError
	_, err = g.ExecuteIn(ctx, s, logmesh.Slot{Seq: 2, Low: 2}, encodedPut(t, "k", "v"))
	require.ErrorAs(t, err, &unknown)
	require.ErrorIs(t, err, logmesh.ErrAnswered)
	_, err = g.ExecuteIn(ctx, logmesh.Session{ID: s.ID + 1}, logmesh.Slot{Seq: 1}, encodedPut(t, "k", "v"))
	require.ErrorAs(t, err, &unknown)
	require.ErrorIs(t, err, logmesh.ErrSessionExpired)
	require.ErrorContains(t, err, "outcome unknown")
	_, err = g.ExecuteIn(ctx, s, logmesh.Slot{Seq: 5000}, encodedPut(t, "k", "v"))
	require.ErrorContains(t, err, "at most 1024 above")
	require.False(t, errorAs[*logmesh.UnknownOutcomeError](err), "nothing happened")
	_, err = g.ExecuteIn(ctx, s, logmesh.Slot{Seq: 4}, []byte("nonsense"))
	var rejected *logmesh.RejectedError
	require.ErrorAs(t, err, &rejected)
}

// Without a leader nothing happens to a command, and that is said; also by a group
// that stops meanwhile.
func TestExecuteWithoutLeader(t *testing.T) {
	n, err := logmesh.Open(testContext(t), logmesh.Config{Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	g, err := n.Join(testContext(t), logmesh.GroupConfig{Key: logmesh.NewKey()}, kv.New())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	for _, execute := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := g.Execute(ctx, encodedPut(t, "k", "v"))
			return err
		},
		func(ctx context.Context) error {
			_, err := g.ExecuteIn(ctx, logmesh.Session{ID: 9}, logmesh.Slot{Seq: 1}, encodedPut(t, "k", "v"))
			return err
		},
	} {
		err := execute(ctx)
		require.ErrorIs(t, err, logmesh.ErrNoLeader)
		require.False(t, errorAs[*logmesh.UnknownOutcomeError](err))
	}
	ended := make(chan error, 1)
	go func() {
		_, err := g.Execute(testContext(t), encodedPut(t, "k", "v"))
		ended <- err
	}()
	require.Never(t, func() bool { return len(ended) > 0 }, 50*time.Millisecond, 10*time.Millisecond)
	require.NoError(t, g.Close())
	err = <-ended
	require.ErrorIs(t, err, logmesh.ErrClosed)
	require.False(t, errorAs[*logmesh.UnknownOutcomeError](err))
}

// An After read beyond the log's end waits until it is there, or ctx ends; a local
// one says at once how far it was.
func TestAfterAndLocalReads(t *testing.T) {
	_, g := member(t, logmesh.NewKey(), true)
	ctx := testContext(t)
	r, err := g.Execute(ctx, encodedPut(t, "k", "1"))
	require.NoError(t, err)
	query, err := kv.EncodeQuery(kv.Get{Key: "k"})
	require.NoError(t, err)
	a, err := g.Query(ctx, query, logmesh.Local)
	require.NoError(t, err)
	require.Equal(t, r.Index, a.Index)

	next := r.Index + 1
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = g.Query(short, query, logmesh.After(next))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "is not applied on this node yet")
	answers := make(chan logmesh.Answer, 1)
	go func() {
		a, err := g.Query(ctx, query, logmesh.After(next))
		require.NoError(t, err)
		answers <- a
	}()
	r, err = g.Execute(ctx, encodedPut(t, "k", "2"))
	require.NoError(t, err)
	require.Equal(t, next, r.Index)
	a = <-answers
	require.GreaterOrEqual(t, a.Index, next)
	got, err := kv.DecodeGetAnswer(a.Data)
	require.NoError(t, err)
	require.Equal(t, "2", string(got.Value))
}

func errorAs[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
