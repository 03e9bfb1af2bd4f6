package api_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
	"github.com/logmesh/logmesh/machine"
	"github.com/logmesh/logmesh/machine/kv"
)

// loneGroup applies commands at once to a machine of its own.
type loneGroup struct {
	machine machine.Machine
	index   codec.Index
	reads   []logmesh.Read
}

func (g *loneGroup) Execute(_ context.Context, command []byte) (logmesh.Result, error) {
	g.index++
	var b machine.Batch
	b.Reset()
	b.Add(g.index, command)
	g.machine.Apply(&b)
	out := b.Outcome(0)
	if out.Rejected {
		return logmesh.Result{}, &logmesh.RejectedError{Index: g.index, Reason: string(out.Data)}
	}
	return logmesh.Result{Index: g.index, Data: out.Data}, nil
}

func (g *loneGroup) Query(_ context.Context, query []byte, at logmesh.Read) (logmesh.Answer, error) {
	g.reads = append(g.reads, at)
	data, err := g.machine.Query(nil, query)
	return logmesh.Answer{Index: g.index, Data: data}, err
}

func TestGroupStore(t *testing.T) {
	g := &loneGroup{machine: kv.New()}
	s, ctx := api.NewStore(g), t.Context()

	v, err := s.Get(ctx, "k", api.Strong)
	require.NoError(t, err)
	require.Equal(t, api.Value{}, v)
	w, err := s.Put(ctx, "k", []byte("1"))
	require.NoError(t, err)
	require.Equal(t, api.Written{Index: 1}, w)
	w, err = s.Put(ctx, "k", []byte("2"))
	require.NoError(t, err)
	require.Equal(t, api.Written{Index: 2, Existed: true}, w)
	v, err = s.Get(ctx, "k", api.Local)
	require.NoError(t, err)
	require.Equal(t, api.Value{Found: true, Data: []byte("2"), Index: 2}, v)
	require.Equal(t, []logmesh.Read{logmesh.Strong, logmesh.Local}, g.reads)

	failed := &api.Error{Code: api.CodePrecondition}
	_, err = s.Swap(ctx, "k", api.Swap{Old: []byte("1"), New: []byte("3")})
	require.ErrorIs(t, err, failed)
	_, err = s.Swap(ctx, "k", api.Swap{New: []byte("3")})
	require.ErrorIs(t, err, failed)
	_, err = s.Swap(ctx, "k", api.Swap{Old: []byte("2"), New: []byte{}})
	require.NoError(t, err)
	_, err = s.Swap(ctx, "empty", api.Swap{New: []byte{}})
	require.NoError(t, err)
	page, err := s.Scan(ctx, api.ScanQuery{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, api.Page{Items: []api.Item{{Key: "empty", Value: []byte{}}}, More: true, Index: 6}, page)
	page, err = s.Scan(ctx, api.ScanQuery{After: "empty", KeysOnly: true})
	require.NoError(t, err)
	require.Equal(t, api.Page{Items: []api.Item{{Key: "k"}}, Index: 6}, page)

	_, err = s.Swap(ctx, "k", api.Swap{Old: []byte{}})
	require.NoError(t, err)
	w, err = s.Delete(ctx, "k")
	require.NoError(t, err)
	require.False(t, w.Existed)
	w, err = s.Delete(ctx, "empty")
	require.NoError(t, err)
	require.True(t, w.Existed)
}

// Both values of a swap travel in one command: together they must fit an entry.
func TestSwapOfLargeValues(t *testing.T) {
	s := api.NewStore(&loneGroup{machine: kv.New()})
	large := bytes.Repeat([]byte("x"), api.MaxValue)
	_, err := s.Put(t.Context(), "k", large)
	require.NoError(t, err)
	_, err = s.Swap(t.Context(), "k", api.Swap{Old: large, New: large})
	require.ErrorIs(t, err, &api.Error{Code: api.CodeTooLarge})
}

func TestLimitsAreTheMachines(t *testing.T) {
	require.Equal(t, kv.MaxKey, api.MaxKey)
	require.Equal(t, kv.MaxValue, api.MaxValue)
}

type brokenGroup struct{}

func (*brokenGroup) Execute(context.Context, []byte) (logmesh.Result, error) {
	return logmesh.Result{}, logmesh.ErrNoLeader
}

func (*brokenGroup) Query(context.Context, []byte, logmesh.Read) (logmesh.Answer, error) {
	return logmesh.Answer{Data: []byte("nonsense")}, nil
}

func TestGroupStoreErrors(t *testing.T) {
	s, ctx := api.NewStore(&brokenGroup{}), t.Context()
	_, err := s.Put(ctx, "k", nil)
	require.ErrorIs(t, err, logmesh.ErrNoLeader)
	_, err = s.Delete(ctx, "k")
	require.ErrorIs(t, err, logmesh.ErrNoLeader)
	_, err = s.Swap(ctx, "k", api.Swap{New: []byte("v")})
	require.ErrorIs(t, err, logmesh.ErrNoLeader)
	_, err = s.Get(ctx, "k", api.Strong)
	require.ErrorContains(t, err, "read the machine's answer")
	_, err = s.Scan(ctx, api.ScanQuery{})
	require.ErrorContains(t, err, "read the machine's answer")
	require.False(t, errors.Is(err, logmesh.ErrNoLeader))
}
