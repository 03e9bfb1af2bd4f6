package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

// Fault S6: a leader whose disk is nearly full takes no proposals, shows it, and
// answers reads; with room again it goes on.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		l, err := ledger.Open(ledger.Options{FS: fs, Dir: "/d", Group: testGroup, Peer: self, Fold: Fold, Logger: discard()})
		require.NoError(t, err)
		require.NoError(t, Found(l, self, nil, 1, [codec.FoundingNonce]byte{1}))
		x := newLoneOn(t, l, &fakeNetwork{})
		x.execute("before")
		command := codec.AppendCommand(nil, codec.Command{Payload: make([]byte, codec.OpenNonce)})
		propose := func() codec.CallStatus {
			return x.Called(x.context(), self, &codec.Propose{Commands: [][]byte{command}}).Status
		}
		require.Equal(t, codec.CallOK, propose())

		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1})
		time.Sleep(2 * time.Second)
		require.Equal(t, codec.CallUnavailable, propose())
		require.True(t, x.View().Full)
		read, err := x.ReadIndex(x.context())
		require.NoError(t, err)
		require.NoError(t, x.Applied(x.context(), read))

		fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40})
		time.Sleep(2 * time.Second)
		require.Equal(t, codec.CallOK, propose())
		require.False(t, x.View().Full)
	})
}
