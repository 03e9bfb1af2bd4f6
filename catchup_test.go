package logmesh_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/kv"
)

// fill writes n values of size bytes through g and returns the last index.
func fill(t testing.TB, g *logmesh.Group, n, size int) logmesh.Result {
	t.Helper()
	commands := make([][]byte, n)
	for i := range commands {
		value := make([]byte, size)
		copy(value, fmt.Sprint(i))
		c, err := kv.EncodeCommand(kv.Put{Key: fmt.Sprintf("key/%06d", i), Value: value})
		require.NoError(t, err)
		commands[i] = c
	}
	results, err := g.ExecuteAll(testContext(t), commands)
	require.NoError(t, err)
	last := results[0]
	for _, r := range results {
		if r.Index > last.Index {
			last = r
		}
	}
	return last
}

func TestLateJoin(t *testing.T) {
	ctx := testContext(t)
	key := logmesh.NewKey()
	a, ga := member(t, key, true)
	_, gb := member(t, key, false, a.Addrs()...)
	_, gc := member(t, key, false, a.Addrs()...)
	for _, g := range []*logmesh.Group{ga, gb, gc} {
		_, err := g.Wait(ctx, logmesh.Members(3))
		require.NoError(t, err)
	}
	last := fill(t, ga, 30_000, 1000)
	_, gd := member(t, key, false, a.Addrs()...)
	_, err := gd.Wait(ctx, logmesh.Applied(last.Index))
	require.NoError(t, err)
	s, err := gd.Wait(ctx, logmesh.Online)
	require.NoError(t, err)
	require.NotNil(t, s.LastSync)
	require.Greater(t, s.LastSync.Done, uint64(200))
	t.Logf("%+v", s.LastSync)
	lead := ga.Status()
	require.Equal(t, lead.BlockEnd, s.BlockEnd)
	require.Equal(t, lead.BlockDigest, s.BlockDigest)
}

// Values of the greatest size go through a member that does not lead, and to a
// late member.
func TestGreatestValues(t *testing.T) {
	ctx := testContext(t)
	key := logmesh.NewKey()
	a, ga := member(t, key, true)
	_, gb := member(t, key, false, a.Addrs()...)
	_, err := gb.Wait(ctx, logmesh.Members(2))
	require.NoError(t, err)
	last := fill(t, gb, 12, kv.MaxValue)
	_, gc := member(t, key, false, a.Addrs()...)
	_, err = gc.Wait(ctx, logmesh.Members(3))
	require.NoError(t, err)
	s, err := gc.Wait(ctx, logmesh.Applied(last.Index))
	require.NoError(t, err)
	require.GreaterOrEqual(t, s.Blocks, uint64(11))
	require.Equal(t, ga.Status().Root, s.Root)
}
