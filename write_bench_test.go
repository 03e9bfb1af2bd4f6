package logmesh_test

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/bench"
	"github.com/logmesh/logmesh/machine/kv"
)

// BenchmarkWrite measures acknowledged writes of a group of three voters, each
// with a data directory of its own on one disk, over loopback TCP: so many
// writers, each with one command of about 150 bytes under way, through the leader
// or spread over all members.
//
// Three nodes in one process have the processors' shares of three processes: a
// goroutine in a sync holds its share until the scheduler takes it away.
//
// The yardstick is measured in the same run, before and after: how often a
// single thread can append 4 KiB to a file on the same disk and sync it.
// docs/performance.md says how to read the figures. LOGMESH_BENCH_DIR names
// the disk.
func BenchmarkWrite(b *testing.B) {
	dir := benchDir(b)
	c := newClusterIn(b, dir, 3, slog.New(slog.DiscardHandler))
	c.voters(3)
	for _, via := range []string{"leader", "any"} {
		for _, writers := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("via=%s/writers=%d", via, writers), func(b *testing.B) {
				defer threeProcesses()()
				lead := c.leader()
				entries := []*logmesh.Group{c.group[lead]}
				if via == "any" { // the leader last
					entries = []*logmesh.Group{c.group[(lead+1)%3], c.group[(lead+2)%3], c.group[lead]}
				}
				for i := range c.group {
					c.put(i, "warm", "up") // opens the member's client session
				}
				syncs := []float64{syncRate(b, dir), syncRate(b, dir), syncRate(b, dir)}
				b.ResetTimer()
				took := writeFrom(b, entries, writers)
				b.StopTimer()
				rate := float64(b.N) / b.Elapsed().Seconds()
				syncs = append(syncs, syncRate(b, dir), syncRate(b, dir), syncRate(b, dir))
				slices.Sort(syncs)
				sync := (syncs[2] + syncs[3]) / 2
				b.ReportMetric(rate, "writes/s")
				b.ReportMetric(sync, "syncs/s")
				b.ReportMetric(rate/sync, "ratio")
				b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
				b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
			})
		}
	}
}

// threeProcesses gives the scheduler as many threads as three processes would have,
// unless -cpu says how many.
func threeProcesses() (restore func()) {
	was := runtime.GOMAXPROCS(0)
	if was == runtime.NumCPU() {
		runtime.GOMAXPROCS(3 * was)
	}
	return func() { runtime.GOMAXPROCS(was) }
}

// writeFrom makes b.N writes and returns how long each took, sorted.
func writeFrom(b *testing.B, groups []*logmesh.Group, writers int) []time.Duration {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	each := make([][]time.Duration, writers)
	var all sync.WaitGroup
	for w := range writers {
		command, err := kv.EncodeCommand(kv.Put{Key: fmt.Sprint("writer", w), Value: make([]byte, 128)})
		require.NoError(b, err)
		g := groups[w%len(groups)]
		all.Go(func() {
			for left.Add(-1) >= 0 {
				begun := time.Now()
				if _, err := g.Execute(b.Context(), command); err != nil {
					b.Error(err)
					return
				}
				each[w] = append(each[w], time.Since(begun))
			}
		})
	}
	all.Wait()
	took := slices.Concat(each...)
	if len(took) == 0 {
		b.FailNow()
	}
	slices.Sort(took)
	return took
}

// benchDir is a fresh directory on the disk that LOGMESH_BENCH_DIR names, else
// where temporary files are.
func benchDir(b *testing.B) string {
	b.Helper()
	root := os.Getenv("LOGMESH_BENCH_DIR")
	if root == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(root, "logmesh-bench-")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	return dir
}

// syncRate looks at the disk that dir is on.
func syncRate(b *testing.B, dir string) float64 {
	b.Helper()
	rate, err := bench.SyncRate(dir)
	require.NoError(b, err)
	return rate
}
