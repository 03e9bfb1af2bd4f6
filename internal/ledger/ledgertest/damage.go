// Package ledgertest damages the records of a stopped ledger, for the tests of
// what is built on it. Keys are those of internal/ledger/FORMAT.md.
package ledgertest

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Block is the key of a block.
func Block(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'b'}, number) }

// Leaf is the key of a block's leaf.
func Leaf(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'t', 0}, number) }

// HardState is the key of the hard state.
func HardState() []byte { return []byte{'h'} }

// Rot changes one bit in the middle of a record.
func Rot(disk vfs.FS, dir string, key []byte) error {
	return on(disk, dir, func(db *pebble.DB) error {
		value, closer, err := db.Get(key)
		if err != nil {
			return err
		}
		changed := bytes.Clone(value)
		changed[len(changed)/2] ^= 1
		return errors.Join(closer.Close(), db.Set(key, changed, pebble.Sync))
	})
}

// Remove deletes records.
func Remove(disk vfs.FS, dir string, keys ...[]byte) error {
	return on(disk, dir, func(db *pebble.DB) error {
		for _, key := range keys {
			if err := db.Delete(key, pebble.Sync); err != nil {
				return err
			}
		}
		return nil
	})
}

// on does something to the database, and leaves all of it in tables, as a clean
// stop does.
func on(disk vfs.FS, dir string, do func(*pebble.DB) error) error {
	db, err := pebble.Open(disk.PathJoin(dir, "pebble"), &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Flush(), db.Close())
}

// silent is a logger of Pebble's.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}
