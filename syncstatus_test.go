package logmesh

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/catchup"
)

// What a session counts reaches its status, and a peer that served a wrong block
// is named with the reason.
func TestSyncStatusTells(t *testing.T) {
	wrong := &catchup.ProofError{Block: 7, Tree: 100, Why: "its leaf is another"}
	v := actors.View{Sync: &actors.SyncView{Stray: 3, Plan: catchup.Status{
		Done: 1, Needed: 2, PerSec: 1e6, Grows: 2e6,
		Stats: catchup.Stats{
			Arrived: 10, Again: 2, Doubled: 500, LeaderBytes: 100, OtherBytes: 900, Hedges: 4, FailedProofs: 1,
			Dropped: map[catchup.Drop]uint64{catchup.DropWindow: 5},
			Idle:    map[catchup.Reason]time.Duration{catchup.ReasonWindow: time.Second},
		},
		Peers: []catchup.PeerStatus{{Peer: "liar", State: "out", Err: wrong, RTT: time.Millisecond, Rests: 6, Failed: 1}},
	}}}
	s := syncStatus(v)
	require.Equal(t, map[string]uint64{"new": 10, "doubled": 2, "no room": 5}, s.Counts.Blocks)
	require.Equal(t, uint64(500), s.Doubled)
	require.Equal(t, uint64(3), s.Counts.StrayFrames)
	require.Equal(t, map[string]time.Duration{"window full": time.Second}, s.Counts.Idle)
	require.Equal(t, SyncPeer{
		Peer: codec.PeerID("liar"), State: "out", Error: wrong.Error(), RTT: time.Millisecond, Rests: 6, FailedProofs: 1,
	}, s.Peers[0])
	require.Equal(t, "the group writes 2.0 MB/s, faster than the 1.0 MB/s that come in here", s.Waiting)
	_, err := json.Marshal(s)
	require.NoError(t, err)
}
