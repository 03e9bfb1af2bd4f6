package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

// A start is told in few lines: what passes in less than a second is not, and a
// state that stays is told once.
func TestFollower(t *testing.T) {
	var out strings.Builder
	f := follower{app: &app{err: &out}}
	joining := logmesh.Status{Phase: logmesh.PhaseJoining, Detail: "no peer of the group answers yet"}
	other := logmesh.Status{Phase: logmesh.PhaseJoining, Detail: "x: the group key differs"}
	catching := logmesh.Status{Phase: logmesh.PhaseCatchingUp, Sync: &logmesh.SyncStatus{Done: 1, Needed: 4, Left: time.Second}}
	online := logmesh.Status{Phase: logmesh.PhaseOnline, Leader: "x", Role: "standby"}
	now := time.Time{}
	for _, step := range []struct {
		st     logmesh.Status
		millis int // of looking
		want   string
	}{
		{joining, 900, ""},
		{other, 900, ""},
		{joining, 3000, "joining: no peer of the group answers yet\n"},
		{other, 3000, "joining: x: the group key differs\n  is it the key file of this group? compare it with the other members'\n"},
		{catching, 4000, "catching up\n"},
		{catching, 5000, "  1 of 4 blocks (25.0 %)  0.0 MB  0.0 MB/s  1.0 s left\n"},
		{online, 10000, "online as standby\n"},
		{logmesh.Status{Phase: logmesh.PhaseOnline}, 500, ""},
		{online, 500, ""},
		{logmesh.Status{Phase: logmesh.PhaseOnline}, 2000, "no leader\n"},
		{
			logmesh.Status{Phase: logmesh.PhaseOnline, NoQuorum: &logmesh.NoQuorum{Reachable: 1, Voters: 3, Missing: []codec.PeerID{"y", "z"}}},
			2000,
			"no quorum: 1 of 3 voters reachable (missing: y, z; since 0001-01-01 00:00:00)\n" +
				"  local reads go on; if a majority is lost for good, see docs/recovery.md\n",
		},
		{logmesh.Status{Phase: logmesh.PhaseOnline, Leader: "x", Role: "leader"}, 300, "online, and leads\n"},
	} {
		out.Reset()
		for range step.millis / 100 {
			f.see(step.st, now)
			now = now.Add(100 * time.Millisecond)
		}
		require.Equal(t, step.want, out.String(), "%+v", step.st)
	}
}
