package ledger

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// makeDir makes dir and its missing parents, so that all of them survive a
// crash: every name on the way is synced in the directory that holds it. Those that
// are there already, too: whoever made them may have been stopped before that.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	for p := dir; ; {
		up := fs.PathDir(p)
		if up == p {
			return nil
		}
		if err := syncDir(fs, up); err != nil && !cannotSync(err) {
			return err
		}
		p = up
	}
}

// cannotSync reports whether err says that a directory is none in which we could
// have made anything, or that its file system has no such sync.
func cannotSync(err error) bool {
	for _, is := range []error{os.ErrPermission, syscall.EROFS, syscall.EINVAL, errors.ErrUnsupported} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := d.Sync(); err != nil {
		_ = d.Close()
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return d.Close()
}
