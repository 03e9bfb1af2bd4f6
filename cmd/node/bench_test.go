package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/internal/bench"
)

// benchCommand is `logmesh bench args` in a process of its own.
func benchCommand(t *testing.T, args ...string) (cmd *exec.Cmd, talk *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), exe, append([]string{"bench"}, args...)...)
	cmd.Args[0] = "logmesh" // see TestMain
	talk = &bytes.Buffer{}
	cmd.Stderr = talk
	return cmd, talk
}

// benchOf runs `logmesh bench args --json` and reads what it prints into result, which
// must be the same as JSON again. The directory that it was to use is empty afterwards.
func benchOf(t *testing.T, result any, args ...string) {
	t.Helper()
	dir := t.TempDir()
	cmd, talk := benchCommand(t, append(args, "--json", "--dir", dir, "--timeout", "1m")...)
	out, err := cmd.Output()
	require.NoError(t, err, talk.String())
	require.NoError(t, json.Unmarshal(out, result), string(out))
	again, err := json.Marshal(result)
	require.NoError(t, err)
	require.JSONEq(t, string(again), string(out))
	require.NotContains(t, string(out), "null")
	requireEmpty(t, dir)
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// An interrupt ends all processes, and their files go.
func TestBenchInterrupted(t *testing.T) {
	dir := t.TempDir()
	cmd, talk := benchCommand(t, "catchup", "--peers", "2", "--dir", dir)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { // a member writes its ledger
		found, err := filepath.Glob(filepath.Join(dir, "*", "member1", "groups", "*"))
		return err == nil && len(found) > 0
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.Error(t, cmd.Wait())
	require.Equal(t, 1, cmd.ProcessState.ExitCode(), talk.String())
	require.Contains(t, talk.String(), "logmesh: interrupted\n")
	requireEmpty(t, dir)
}

func TestBenchCatchup(t *testing.T) {
	const entries, size = 20_000, 128
	profiles := filepath.Join(t.TempDir(), "profiles")
	var r bench.CatchupResult
	benchOf(t, &r, "catchup", "--entries", "20000", "--size", "128", "--peers", "2", "--writes", "100", "--profile", profiles)
	require.Equal(t, [3]int{entries, size, 2}, [3]int{r.Entries, r.EntrySize, r.Peers})
	require.Equal(t, "fold", r.Machine)
	require.False(t, r.Memory)
	plausible(t, r)
	require.Zero(t, r.RatioBare)
	require.Zero(t, r.SteadyPer, "the log is too small")
	require.NotZero(t, r.During.Writes)
	require.Greater(t, r.Before.Writes, 50)
	require.Greater(t, r.Before.P50MS, 0.0)
	require.GreaterOrEqual(t, r.Before.P99MS, r.Before.P50MS)
	for _, name := range []string{"joiner", "member1", "member2", "local"} {
		info, err := os.Stat(filepath.Join(profiles, name+".pprof"))
		require.NoError(t, err)
		require.NotZero(t, info.Size())
	}
}

func TestBenchCatchupBareInMemory(t *testing.T) {
	var r bench.CatchupResult
	benchOf(t, &r, "catchup", "--entries", "20000", "--size", "64", "--peers", "1", "--machine", "kv", "--keys", "100", "--memory", "--bare", "--runs", "2")
	require.True(t, r.Memory)
	require.Equal(t, [2]int{100, 2}, [2]int{r.Keys, r.Runs})
	plausible(t, r)
	require.Greater(t, r.RatioBare, 0.0)
	require.InDelta(t, r.EntriesPer/r.BarePer, r.RatioBare, 5*r.RatioBare) // medians of ratios are not ratios of medians
	require.Zero(t, r.WritesPer, "beside the bare pipeline nothing writes")
	require.Zero(t, r.Before.Writes)
}

// plausible checks what holds of every catch-up.
func plausible(t *testing.T, r bench.CatchupResult) {
	t.Helper()
	payload := int64(r.Entries) * int64(r.EntrySize)
	require.Greater(t, r.Bytes, payload)
	require.Less(t, r.Bytes, 2*payload)
	require.InEpsilon(t, float64(r.Entries)/r.Seconds, r.EntriesPer, 1e-6)
	require.InEpsilon(t, float64(r.Bytes)/1e6/r.Seconds, r.MBPer, 1e-6)
	for name, v := range map[string]float64{
		"raw": r.RawMBPer, "ratio_raw": r.RatioRaw, "local": r.LocalPer, "ratio_local": r.RatioLocal,
		"peak": r.PeakMB, "cpu": r.CPUPer, "first": r.FirstMS,
	} {
		require.Greater(t, v, 0.0, name)
	}
	require.Less(t, r.RatioRaw, 1.0)
	require.Greater(t, r.PeakMB, 10.0)
	require.Less(t, r.FirstMS, r.Seconds*1e3)
	require.GreaterOrEqual(t, r.Needed, uint64(r.Bytes))
	require.GreaterOrEqual(t, r.Received, r.Needed)
	require.Len(t, r.Share, r.Peers)
	sum := 0.0
	for _, s := range r.Share {
		sum += s.Share
	}
	require.InDelta(t, 1, sum, 1e-9)
}

func TestBenchWrite(t *testing.T) {
	var r bench.WriteResult
	benchOf(t, &r, "write", "--voters", "2", "--writers", "8", "--seconds", "0.5", "--via", "any")
	require.Equal(t, [2]int{2, 8}, [2]int{r.Voters, r.Writers})
	require.Equal(t, "any", r.Via)
	require.Greater(t, r.Writes, 8)
	require.InEpsilon(t, float64(r.Writes)/r.Seconds, r.WritesPer, 1e-6)
	require.InEpsilon(t, r.WritesPer/r.SyncsPer, r.Ratio, 1e-6)
	require.Greater(t, r.P50MS, 0.0)
	require.GreaterOrEqual(t, r.P99MS, r.P50MS)
}
