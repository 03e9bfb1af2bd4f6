package bench

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// syncLook is how long SyncRate looks.
const syncLook = 100 * time.Millisecond

// SyncRate is how many times a second one thread can append 4 KiB to a file in dir
// and sync it: what a disk could acknowledge at most, one write at a time.
func SyncRate(dir string) (rate float64, err error) {
	name := filepath.Join(dir, "yardstick")
	f, err := vfs.Default.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	data := make([]byte, 4<<10)
	n, begun := 0, time.Now()
	for ; err == nil && time.Since(begun) < syncLook; n++ {
		if _, err = f.Write(data); err == nil {
			err = f.SyncData()
		}
	}
	rate = float64(n) / time.Since(begun).Seconds()
	if err = errors.Join(err, f.Close(), vfs.Default.Remove(name)); err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	return rate, nil
}
