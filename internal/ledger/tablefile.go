package ledger

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableFile is a table that is being written: in memory, and to its file in one
// piece, whose size the file system then knows at once. In one in memory, which
// makes room piece by piece, that is most of what a table costs.
type tableFile struct {
	file vfs.File
	buf  []byte
}

func (t *tableFile) Write(p []byte) error {
	t.buf = append(t.buf, p...)
	return nil
}

func (t *tableFile) Finish() error {
	_, err := t.file.Write(t.buf)
	if err == nil {
		err = t.file.Sync()
	}
	return errors.Join(err, t.file.Close())
}

func (t *tableFile) Abort() { _ = t.file.Close() }
