package disk_test

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// change is one change of what is on a file system.
type change struct {
	what string // "write", "sync", "create", …
	path string
	sync bool // makes something durable

	half func() error // does half of it, if not nil
}

// aroundFS hands every change to around, which does it or not, and says how it
// ended. Changes come from several goroutines.
type aroundFS struct {
	vfs.FS
	around func(c change, do func() error) error
}

func (f aroundFS) Unwrap() vfs.FS { return f.FS }

func (f aroundFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.make("create", name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f aroundFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.make("open for writing", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, opts...) })
}

func (f aroundFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.make("reuse", newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

func (f aroundFS) make(what, name string, do func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.around(change{what: what, path: name}, func() (err error) {
		file, err = do()
		return err
	})
	if err != nil {
		if file != nil {
			_ = file.Close()
		}
		return nil, err
	}
	return aroundFile{file, name, f.around}, nil
}

func (f aroundFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return aroundFile{file, name, f.around}, nil
}

func (f aroundFS) Link(oldname, newname string) error {
	return f.around(change{what: "link", path: newname}, func() error { return f.FS.Link(oldname, newname) })
}

func (f aroundFS) Rename(oldname, newname string) error {
	return f.around(change{what: "rename", path: newname}, func() error { return f.FS.Rename(oldname, newname) })
}

func (f aroundFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.around(change{what: "make directory", path: dir}, func() error { return f.FS.MkdirAll(dir, perm) })
}

func (f aroundFS) Remove(name string) error {
	return f.around(change{what: "remove", path: name}, func() error { return f.FS.Remove(name) })
}

// aroundFile is a file or a directory of an aroundFS.
type aroundFile struct {
	vfs.File
	name   string
	around func(c change, do func() error) error
}

func (f aroundFile) Write(p []byte) (n int, err error) {
	write := func(p []byte) (err error) { n, err = f.File.Write(p); return err }
	c := change{what: "write", path: f.name, half: func() error { return write(p[:len(p)/2]) }}
	err = f.around(c, func() error { return write(p) })
	return n, err
}

func (f aroundFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.around(change{what: "write", path: f.name}, func() (err error) { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

func (f aroundFile) Preallocate(offset, length int64) error {
	return f.around(change{what: "preallocate", path: f.name}, func() error { return f.File.Preallocate(offset, length) })
}

func (f aroundFile) Sync() error {
	return f.around(change{what: "sync", path: f.name, sync: true}, f.File.Sync)
}

func (f aroundFile) SyncData() error {
	return f.around(change{what: "sync", path: f.name, sync: true}, f.File.SyncData)
}

func (f aroundFile) SyncTo(length int64) (full bool, err error) {
	err = f.around(change{what: "sync", path: f.name, sync: true}, func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
