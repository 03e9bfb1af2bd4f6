package logmesh_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/seam"
	"github.com/logmesh/logmesh/machine/kv"
	"github.com/logmesh/logmesh/p2p"
	"github.com/logmesh/logmesh/p2p/p2ptest"
)

// Fault H3: one peer opens a thousand connections to the leader, and ten thousand
// streams. It gets few of either, and meanwhile every member writes, and another
// joins.
func TestFloodOfOnePeer(t *testing.T) {
	const conns, streams = 1000, 10_000
	var watch p2ptest.Watch
	key := logmesh.NewKey()
	a, ga := watched(t, key, &watch)
	groups := []*logmesh.Group{ga}
	for range 2 {
		_, g := member(t, key, false, a.Addrs()...)
		groups = append(groups, g)
	}
	for _, g := range groups {
		_, err := g.Wait(testContext(t), logmesh.Members(3))
		require.NoError(t, err)
	}
	f, err := p2ptest.NewFlood()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	writes := writeThrough(t, groups)
	opened, err := f.Connect(testContext(t), a.Addrs()[0], conns)
	require.NoError(t, err)
	mostConns, mostStreams := 0, 0
	look := func() {
		c, s := watch.Of(f.ID())
		mostConns, mostStreams = max(mostConns, c), max(mostStreams, s)
	}
	look()
	asked := 0
	for range 20 {
		asked += f.Open(testContext(t), streams/20)
		look()
	}
	_, gd := member(t, key, false, a.Addrs()...)
	_, err = gd.Wait(testContext(t), logmesh.Online)
	require.NoError(t, err)
	look()
	n, longest := writes()
	t.Logf("%d connections got through a handshake, %d at a time; %d streams were asked for, %d open at a time; %d writes, the longest took %v",
		opened, mostConns, asked, mostStreams, n, longest)
	require.Equal(t, streams, asked)
	require.Positive(t, mostStreams)
	require.LessOrEqual(t, mostConns, 8)
	require.LessOrEqual(t, mostStreams, 256)
	require.Greater(t, n, 50)
	require.Less(t, longest, 5*time.Second)
}

// watched is the founding member, whose connections are watched.
func watched(t *testing.T, key []byte, w *p2ptest.Watch) (*logmesh.Node, *logmesh.Group) {
	t.Helper()
	ctx := seam.With(testContext(t), seam.Layers{Net: func(cfg *p2p.Config) { cfg.Over = w.Over }})
	n, err := logmesh.Open(ctx, logmesh.Config{Logger: quiet(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	g, err := n.Join(ctx, logmesh.GroupConfig{Key: key, Found: true}, kv.New())
	require.NoError(t, err)
	return n, g
}

// writeThrough writes through each member in turn until the function that it
// returns is called, which tells how many writes there were and how long the slowest
// took. None may fail.
func writeThrough(t *testing.T, groups []*logmesh.Group) (stop func() (n int, longest time.Duration)) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan struct{})
	n, longest := 0, time.Duration(0)
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; n++ {
			c, err := kv.EncodeCommand(kv.Put{Key: fmt.Sprint(n % 100), Value: []byte(fmt.Sprint(n))})
			at := time.Now()
			if err == nil {
				_, err = groups[n%len(groups)].Execute(context.WithoutCancel(ctx), c)
			}
			if err != nil {
				t.Errorf("write %d: %v", n, err)
				return
			}
			longest = max(longest, time.Since(at))
		}
	}()
	return func() (int, time.Duration) {
		cancel()
		<-done
		return n, longest
	}
}
