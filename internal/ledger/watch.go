package ledger

import (
	"os"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watch remembers the first write or sync that failed. Pebble's own goroutines
// write too, and meet failures that no caller of ours waits for.
type watch struct {
	first atomic.Pointer[FailedError]
}

// note remembers err as the failure of a write to path, unless one is
// remembered already.
func (w *watch) note(path string, err error) {
	if err != nil {
		w.first.CompareAndSwap(nil, &FailedError{Path: path, Cause: err})
	}
}

func (w *watch) failure() error {
	if f := w.first.Load(); f != nil {
		return f
	}
	return nil
}

// frozenFS is a file system that stands still from its first failed write, sync
// or change of a directory on: the disk then holds what a crash at that moment
// would have left, whatever Pebble does afterwards. Pebble itself is told that
// all went well (told otherwise it panics, ends the process or waits for ever,
// depending on where the failure hits), and goes on in memory, so that reads go
// on too. Nobody is deceived, because every commit asks the watch before it
// returns.
type frozenFS struct {
	vfs.FS
	w     *watch
	ghost *vfs.MemFS // the files made since
}

func freezing(fs vfs.FS, w *watch) frozenFS {
	return frozenFS{FS: fs, w: w, ghost: vfs.NewMem()}
}

func (f frozenFS) Unwrap() vfs.FS { return f.FS }

// frozen reports whether the disk stands still, after a change of path that
// returned err.
func (f frozenFS) frozen(path string, err error) bool {
	f.w.note(path, err)
	return f.w.failure() != nil
}

// made is a file that was made for writing, or one in memory in its place.
func (f frozenFS) made(name string, file vfs.File, err error) (vfs.File, error) {
	if !f.frozen(name, err) {
		return &frozenFile{File: file, name: name, w: f.w}, nil
	}
	if file != nil {
		_ = file.Close()
	}
	if err := f.ghost.MkdirAll(f.ghost.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return f.ghost.Create(name, vfs.WriteCategoryUnspecified)
}

// pointer is the prefix of the files whose names say which of Pebble's files are
// current.
const pointer = "marker."

// Create makes what a pointer points to durable before the pointer. Pebble syncs
// both names in one, and then only the order in which a file system keeps the names
// of a directory stops a crash from leaving a pointer to nothing.
func (f frozenFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), pointer) && f.w.failure() == nil {
		f.w.note(name, syncDir(f.FS, f.PathDir(name)))
	}
	if f.w.failure() != nil {
		return f.made(name, nil, nil)
	}
	file, err := f.FS.Create(name, c)
	return f.made(name, file, err)
}

func (f frozenFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.w.failure() != nil {
		return f.made(name, nil, nil)
	}
	file, err := f.FS.OpenReadWrite(name, c, opts...)
	return f.made(name, file, err)
}

func (f frozenFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if f.w.failure() != nil {
		return f.made(newname, nil, nil)
	}
	file, err := f.FS.ReuseForWrite(oldname, newname, c)
	return f.made(newname, file, err)
}

func (f frozenFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.w.failure() != nil {
		if file, err := f.ghost.Open(name); err == nil {
			return file, nil
		}
	}
	return f.FS.Open(name, opts...)
}

func (f frozenFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &frozenFile{File: file, name: name, w: f.w}, nil
}

// change does what changes a directory, unless the disk stands still.
func (f frozenFS) change(name string, do func() error) error {
	if f.w.failure() == nil {
		f.w.note(name, do())
	}
	return nil
}

func (f frozenFS) Rename(oldname, newname string) error {
	return f.change(newname, func() error { return f.FS.Rename(oldname, newname) })
}

func (f frozenFS) Link(oldname, newname string) error {
	return f.change(newname, func() error { return f.FS.Link(oldname, newname) })
}

func (f frozenFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.change(dir, func() error { return f.FS.MkdirAll(dir, perm) })
}

// Remove may fail, a file too many loses nothing; but it must not go on when the
// disk stands still.
func (f frozenFS) Remove(name string) error {
	if f.w.failure() != nil {
		return nil
	}
	return f.FS.Remove(name)
}

func (f frozenFS) RemoveAll(name string) error {
	if f.w.failure() != nil {
		return nil
	}
	return f.FS.RemoveAll(name)
}

// frozenFile is a file on a frozenFS.
type frozenFile struct {
	vfs.File
	name string
	w    *watch
}

// change does what changes the file, unless the disk stands still.
func (f *frozenFile) change(do func() error) {
	if f.w.failure() == nil {
		f.w.note(f.name, do())
	}
}

func (f *frozenFile) Write(p []byte) (int, error) {
	f.change(func() error { _, err := f.File.Write(p); return err })
	return len(p), nil
}

func (f *frozenFile) WriteAt(p []byte, off int64) (int, error) {
	f.change(func() error { _, err := f.File.WriteAt(p, off); return err })
	return len(p), nil
}

func (f *frozenFile) Preallocate(offset, length int64) error {
	f.change(func() error { return f.File.Preallocate(offset, length) })
	return nil
}

func (f *frozenFile) Sync() error {
	f.change(f.File.Sync)
	return nil
}

func (f *frozenFile) SyncData() error {
	f.change(f.File.SyncData)
	return nil
}

func (f *frozenFile) SyncTo(length int64) (full bool, err error) {
	f.change(func() error { full, err = f.File.SyncTo(length); return err })
	return full, nil
}
