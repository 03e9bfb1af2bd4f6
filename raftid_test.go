package logmesh_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/kv"
)

// S8: a node that lost its ledger comes back under another raft id, so that what
// it promised under the old one cannot be promised twice.
func TestLostLedgerIsAnotherMember(t *testing.T) {
	ctx := testContext(t)
	dir, key := t.TempDir(), logmesh.NewKey()
	found := func() logmesh.Status {
		n, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Logger: quiet(t)})
		require.NoError(t, err)
		g, err := n.Join(ctx, logmesh.GroupConfig{Key: key, Found: true}, kv.New())
		require.NoError(t, err)
		s := g.Status()
		require.NoError(t, n.Close())
		return s
	}
	before := found()
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "groups")))
	after := found()
	require.Equal(t, before.Peer, after.Peer)
	require.NotEqual(t, before.RaftID, after.RaftID)
	require.NotEqual(t, before.Log, after.Log)
}
