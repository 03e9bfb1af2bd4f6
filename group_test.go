package logmesh_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/kv"
)

// member starts a node in memory that takes part in group "main".
func member(t *testing.T, key []byte, found bool, peers ...string) (*logmesh.Node, *logmesh.Group) {
	t.Helper()
	ctx := testContext(t)
	n, err := logmesh.Open(ctx, logmesh.Config{Peers: peers, Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	g, err := n.Join(ctx, logmesh.GroupConfig{Key: key, Found: found}, kv.New())
	require.NoError(t, err)
	return n, g
}

// quiet is a logger that writes into the test's output.
func quiet(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestThreeNodes(t *testing.T) {
	ctx := testContext(t)
	key := logmesh.NewKey()
	a, ga := member(t, key, true)
	_, err := ga.Wait(ctx, logmesh.Online)
	require.NoError(t, err)
	put := func(g *logmesh.Group, k, v string) logmesh.Result {
		c, err := kv.EncodeCommand(kv.Put{Key: k, Value: []byte(v)})
		require.NoError(t, err)
		r, err := g.Execute(ctx, c)
		require.NoError(t, err)
		return r
	}
	put(ga, "one", "1")
	_, gb := member(t, key, false, a.Addrs()...)
	_, gc := member(t, key, false, a.Addrs()...)
	for _, g := range []*logmesh.Group{gb, gc} {
		_, err := g.Wait(ctx, logmesh.Online)
		require.NoError(t, err)
	}
	var last logmesh.Result
	for i := range 300 {
		last = put([]*logmesh.Group{ga, gb, gc}[i%3], fmt.Sprint("key", i), "v")
	}
	for _, g := range []*logmesh.Group{ga, gb, gc} {
		_, err := g.Wait(ctx, logmesh.Applied(last.Index))
		require.NoError(t, err)
		q, err := kv.EncodeQuery(kv.Get{Key: "key7"})
		require.NoError(t, err)
		ans, err := g.Query(ctx, q, logmesh.Strong)
		require.NoError(t, err)
		got, err := kv.DecodeGetAnswer(ans.Data)
		require.NoError(t, err)
		require.True(t, got.Found)
		t.Logf("%+v", g.Status())
	}
}
