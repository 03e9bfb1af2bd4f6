package ledger

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// A removal is noted once and for good, and survives a crash.
func TestRemovalIsNoted(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := open(t, fs)
	require.Zero(t, l.Removed())
	require.Error(t, l.SetRemoved(0))
	require.NoError(t, l.SetRemoved(12))
	require.NoError(t, l.SetRemoved(15))
	require.EqualValues(t, 12, l.Removed())
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.SetRemoved(16), ErrClosed)
	l = open(t, crashed)
	require.EqualValues(t, 12, l.Removed())
	require.NoError(t, l.Close())
	st, err := Stat(crashed, "/data/group")
	require.NoError(t, err)
	require.EqualValues(t, 12, st.Removed)
}
