package ledger

import (
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

func contents(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, errors.Join(err, f.Close()))
	return string(data)
}

// From the first failure on nothing changes on the disk, and whoever writes can
// go on, and read what it wrote since.
func TestDiskStandsStill(t *testing.T) {
	disk := vfs.NewMem()
	broken := false
	fs := freezing(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken && op.Kind == errorfs.OpFileSync {
			return errors.New("input/output error")
		}
		return nil
	})), &watch{})
	write := func(f vfs.File, text string) {
		n, err := f.Write([]byte(text))
		require.NoError(t, err)
		require.Len(t, text, n)
	}
	require.NoError(t, fs.MkdirAll("/d", 0o700))
	f, err := fs.Create("/d/a", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	write(f, "before")
	require.NoError(t, f.Sync())
	require.NoError(t, fs.w.failure())

	broken = true
	require.NoError(t, f.Sync(), "the writer is not told")
	broken = false
	var failed *FailedError
	require.ErrorAs(t, fs.w.failure(), &failed)
	require.Equal(t, "/d/a", failed.Path)

	write(f, "after")
	require.NoError(t, errors.Join(f.Sync(), f.SyncData(), f.Preallocate(0, 10), f.Close()))
	g, err := fs.Create("/d/b", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	write(g, "in memory")
	require.NoError(t, errors.Join(g.Sync(), g.Close()))
	require.NoError(t, errors.Join(fs.Rename("/d/a", "/d/c"), fs.Link("/d/a", "/d/e"), fs.MkdirAll("/x", 0o700),
		fs.Remove("/d/a"), fs.RemoveAll("/d")))

	require.Equal(t, "in memory", contents(t, fs, "/d/b"))
	require.Equal(t, "before", contents(t, fs, "/d/a"))
	names, err := disk.List("/d")
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, names)
	names, err = disk.List("/")
	require.NoError(t, err)
	require.NotContains(t, names, "x")
}

// The marker of a clean stop must be gone for good before anything is written.
func TestMarkerThatCannotBeCleared(t *testing.T) {
	disk := vfs.NewMem()
	require.NoError(t, founded(t, disk, 5).Close())
	removed := false
	_, err := Open(testOptions(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemove && op.Path == "/data/group/"+markerFile {
			removed = true
		}
		if removed && op.Kind == errorfs.OpFileSync && op.Path == "/data/group" {
			return errors.New("input/output error")
		}
		return nil
	}))))
	var failed *FailedError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "/data/group", failed.Path)
}
