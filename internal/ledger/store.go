package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// store is the Pebble database of a ledger, with its failures remembered.
type store struct {
	disk   vfs.FS
	synced *witness
	fs     vfs.FS // a frozenFS over synced over disk
	root   string // the ledger's directory, which is locked
	dir    string // of the database
	w      *watch
	log    *slog.Logger
	lock   *pebble.Lock
	db     *pebble.DB
	broken func(*DamageError) // told of damage that Pebble meets by itself; may be nil
}

// Memory and file limits of one ledger.
const (
	memTableBytes = 16 << 20
	cacheBytes    = 16 << 20
	openFiles     = 256
)

// lockStore locks the ledger's directory root, which it makes if readOnly is
// false, and finishes a swap of databases that a crash interrupted. Its database
// is not open yet. The errors are ErrInUse and those of the file system.
func lockStore(disk vfs.FS, root string, log *slog.Logger, readOnly bool) (*store, error) {
	s := &store{disk: disk, root: root, w: &watch{}, log: log}
	s.at(databaseDir)
	if err := s.takeLock(readOnly); err != nil {
		return nil, err
	}
	if err := errors.Join(s.finishSwap(), s.w.failure()); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	return s, nil
}

// at makes the database that of a directory in root.
func (s *store) at(name string) {
	s.dir = s.disk.PathJoin(s.root, name)
	s.synced = &witness{FS: s.disk, dir: s.dir}
	s.fs = freezing(s.synced, s.w)
}

// openStore is lockStore, and opens the database. The errors are also
// *DamageError.
func openStore(disk vfs.FS, root string, log *slog.Logger, readOnly bool) (*store, error) {
	s, err := lockStore(disk, root, log, readOnly)
	if err != nil {
		return nil, err
	}
	if err := s.openDB(readOnly); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	return s, nil
}

func (s *store) takeLock(readOnly bool) error {
	if readOnly {
		if _, err := s.fs.Stat(s.root); err != nil {
			return fmt.Errorf("no ledger in %s: %w", s.root, err)
		}
	} else if err := makeDir(s.disk, s.root); err != nil {
		return err
	}
	lock, err := pebble.LockDirectory(s.root, s.fs)
	if err != nil {
		return lockError(s.root, err)
	}
	s.lock = lock
	return nil
}

// lockError tells a lock that somebody holds from a lock that cannot be taken.
// Pebble has no typed error for its own process holding it.
func lockError(dir string, err error) error {
	var path *fs.PathError // the lock file itself cannot be made
	held := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || err.Error() == "lock held by current process"
	if held && !errors.As(err, &path) {
		return fmt.Errorf("%s: %w", dir, ErrInUse)
	}
	return fmt.Errorf("lock %s: %w", dir, err)
}

func (s *store) openDB(readOnly bool) error {
	if readOnly {
		if _, err := s.fs.Stat(s.dir); err != nil {
			return fmt.Errorf("no ledger in %s: %w", s.root, err)
		}
	} else if err := makeDir(s.disk, s.dir); err != nil {
		return err
	}
	if err := s.checkSynced(); err != nil {
		return err
	}
	return s.openWith(s.options(readOnly))
}

// checkSynced holds the files of the database against the notes on them. After
// a clean stop, which flushed everything, the logs do not count.
func (s *store) checkSynced() error {
	_, clean, err := readMarker(s.fs, s.root)
	if err != nil && !isDamaged(err) {
		return err
	}
	return checkSynced(s.fs, s.dir, !clean)
}

func (s *store) openWith(opts *pebble.Options) error {
	db, err := pebble.Open(s.dir, opts)
	if failed := s.w.failure(); failed != nil {
		if err == nil {
			_ = db.Close()
		}
		return failed
	}
	if err != nil && !isEnvironment(err) {
		return &DamageError{What: "its database cannot be opened", Index: firstLost(s.fs, s.dir), Cause: err}
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", s.dir, err)
	}
	s.db = db
	return nil
}

// isEnvironment reports whether Pebble could not be opened because of where it
// runs (permissions, too many open files), rather than of what it read. Pebble
// marks as corruption only a part of what damage makes it say.
func isEnvironment(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist)
}

func (s *store) options(readOnly bool) *pebble.Options {
	opts := &pebble.Options{
		FS:                          s.fs,
		Logger:                      pebbleLogger{s},
		ReadOnly:                    readOnly,
		ErrorIfNotExists:            readOnly,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   cacheBytes,
		MaxOpenFiles:                openFiles,
		L0StopWritesThreshold:       64,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	opts.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) { s.log.Warn("ledger: background work failed", "dir", s.dir, "err", err) },
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.log.Error("ledger: damaged file", "dir", s.dir, "what", info.String())
			if s.broken != nil {
				s.broken(&DamageError{What: "file " + info.Path, Cause: info.Details})
			}
		},
	}
	return opts
}

// pebbleLogger drops what Pebble tells of its ordinary work. What it calls fatal
// is remembered as a failure; it must not end the process from here.
type pebbleLogger struct{ s *store }

func (l pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.log.Warn("ledger: "+fmt.Sprintf(format, args...), "dir", l.s.dir)
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.s.w.note(l.s.dir, fmt.Errorf(format, args...))
}

// reopen closes the database and opens it again.
func (s *store) reopen() error {
	err := s.db.Close()
	s.db = nil
	if err != nil {
		return s.failed(err)
	}
	return s.openDB(false)
}

// failed remembers err, and returns the failure that is remembered.
func (s *store) failed(err error) error {
	s.w.note(s.dir, err)
	return s.w.failure()
}

// commit writes b atomically and closes it; with sync it is durable, and so is
// everything committed before, when commit returns nil. After a failure nothing
// is written any more, and every commit returns that *FailedError.
func (s *store) commit(b *pebble.Batch, sync bool) (err error) {
	if err := s.w.failure(); err != nil {
		return err
	}
	if b.Empty() && sync {
		err = s.db.LogData(nil, pebble.Sync)
	} else {
		err = b.Commit(&pebble.WriteOptions{Sync: sync})
	}
	if err != nil {
		return s.failed(err)
	}
	if err := s.w.failure(); err != nil { // Pebble does not know
		return err
	}
	return b.Close()
}

// get is a copy of the value of key; found is false if there is none.
func (s *store) get(key []byte) (value []byte, found bool, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value = append([]byte(nil), v...)
	return value, true, closer.Close()
}

// record is the checked body of a record; found is false if there is none. what
// names it in a *DamageError.
func (s *store) record(key []byte, what string) (body []byte, found bool, err error) {
	value, found, err := s.get(key)
	if err == nil && found {
		body, err = bodyOf(key, value)
	}
	if err != nil {
		return nil, false, damage(what, 0, err)
	}
	return body, found, nil
}

// set puts a record with its checksum.
func set(b *pebble.Batch, key, body []byte) error {
	return b.Set(key, withSum(key, body), nil)
}

// close flushes everything into tables, whose checksums find a lost end as a
// log's would not, and closes the database; the directory stays locked unless it
// returns an error.
func (s *store) close() error {
	var err error
	if s.w.failure() == nil {
		err = s.db.Flush()
	}
	if err = errors.Join(err, s.db.Close(), s.synced.close()); err != nil {
		s.w.note(s.dir, err)
	}
	if err := s.w.failure(); err != nil {
		return errors.Join(err, s.unlock())
	}
	return nil
}

// abandon closes the database as it is and unlocks the directory.
func (s *store) abandon() error {
	if s.db == nil {
		return s.unlock()
	}
	return errors.Join(s.db.Close(), s.unlock())
}

func (s *store) unlock() error { return errors.Join(s.synced.close(), s.lock.Close()) }

// diskBytes is the size of all files of the database.
func (s *store) diskBytes() int64 {
	m := s.db.Metrics()
	n := m.DiskSpaceUsage()
	if live := m.WAL.Size; live > m.WAL.PhysicalSize { // the log that is being written
		n += live - m.WAL.PhysicalSize
	}
	return int64(min(n, math.MaxInt64))
}
