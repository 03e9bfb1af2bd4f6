package ledger

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// syncedFile lies among Pebble's files and says how long its manifest and its
// log were when they were last synced, and the checksum up to there.
//
// Pebble takes damage near the end of either for a write that a crash cut off,
// and goes on with an older state. A note here is written after the sync that it
// tells of, so it never says too much, and what it says must be there. A note on
// a manifest is synced. One on a log is not, because that would double the syncs
// of every commit: it survives the end of a process at least, and a loss of power
// as far as the system had written it back.
//
// For each kind there are two notes, written in turn, so that one is always
// whole. A note that is damaged itself is passed over: the other one is right.
const syncedFile = "SYNCED"

// witness is a file system that writes the notes of the database in dir.
type witness struct {
	vfs.FS
	dir string

	mu   sync.Mutex
	file vfs.File // nil: not made yet
	turn [noteKinds]int
}

const (
	noteManifest = iota
	noteLog
	noteKinds
)

// noteSize is the bytes of a note: number and length of the file, the checksum,
// and the note's own.
const noteSize = 3*8 + sumSize

// note is what was synced of a file.
type note struct {
	number uint64 // of the file, in its name
	length uint64
	sum    uint32 // CRC-32C
}

// noteKind is which notes tell of a file of the database, and its number.
func noteKind(name string) (kind int, number uint64, ok bool) {
	text, manifest := strings.CutPrefix(name, "MANIFEST-")
	kind = noteManifest
	if !manifest {
		if text, ok = strings.CutSuffix(name, ".log"); !ok {
			return 0, 0, false
		}
		kind = noteLog
	}
	number, err := strconv.ParseUint(text, 10, 64)
	return kind, number, err == nil
}

func noteName(kind int, number uint64) string {
	if kind == noteManifest {
		return fmt.Sprintf("MANIFEST-%06d", number)
	}
	return fmt.Sprintf("%06d.log", number)
}

func noteKey(kind, turn int) []byte { return fmt.Appendf(nil, "%s %d %d", syncedFile, kind, turn) }

// put writes a note, over the older one of its kind.
func (w *witness) put(kind int, n note) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	turn := w.turn[kind]
	w.turn[kind] = 1 - turn
	return w.write(kind, turn, n, kind == noteManifest)
}

func (w *witness) write(kind, turn int, n note, sync bool) error {
	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	body := withSum(noteKey(kind, turn), numbersBody(n.number, n.length, uint64(n.sum)))
	if _, err := w.file.WriteAt(body, int64(2*kind+turn)*noteSize); err != nil {
		return err
	}
	if !sync {
		return nil
	}
	return w.file.Sync()
}

// forget takes back the notes on a file that is about to be made anew, under the
// number that it had before: a database that could not be made whole is begun again
// so.
func (w *witness) forget(name string) error {
	kind, number, ok := noteKind(w.FS.PathBase(name))
	if !ok || w.FS.PathDir(name) != w.dir {
		return nil
	}
	data, err := readFile(w.FS, w.FS.PathJoin(w.dir, syncedFile), noteKinds*2*noteSize)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for turn := range 2 {
		n, ok := readNote(data, kind, turn)
		if !ok || n.number != number || n.length == 0 {
			continue
		}
		if err := w.write(kind, turn, note{number: number}, true); err != nil {
			return err
		}
	}
	return nil
}

// readNote reads one of the two notes of a kind; false: it is not there, or
// damaged itself.
func readNote(data []byte, kind, turn int) (n note, ok bool) {
	at := (2*kind + turn) * noteSize
	if len(data) < at+noteSize {
		return n, false
	}
	body, err := bodyOf(noteKey(kind, turn), data[at:at+noteSize])
	if err != nil {
		return n, false
	}
	numbers, err := readNumbers(body, 3)
	if err != nil {
		return n, false
	}
	return note{numbers[0], numbers[1], uint32(numbers[2])}, true //nolint:gosec // was one
}

// open opens the file of the notes, or makes it. Notes of an earlier run go on
// being true, if the files that they tell of are still there.
func (w *witness) open() (err error) {
	path := w.FS.PathJoin(w.dir, syncedFile)
	if w.file, err = w.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	return syncDir(w.FS, w.dir)
}

func (w *witness) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	file := w.file
	w.file = nil
	return file.Close()
}

// checkSynced holds the database in dir against its notes. logs tells whether
// those on logs count: after a clean stop they do not.
func checkSynced(disk vfs.FS, dir string, logs bool) error {
	data, err := readFile(disk, disk.PathJoin(dir, syncedFile), noteKinds*2*noteSize)
	if err != nil {
		return err
	}
	for kind := range noteKinds {
		if kind == noteLog && !logs {
			continue
		}
		for turn := range 2 {
			n, ok := readNote(data, kind, turn)
			if !ok {
				continue
			}
			if err := n.check(disk, dir, noteName(kind, n.number)); err != nil {
				return err
			}
		}
	}
	return nil
}

// check reads what was synced of a file. One that is gone was not needed any
// more: Pebble misses those that are.
func (n note) check(disk vfs.FS, dir, name string) error {
	f, err := disk.Open(disk.PathJoin(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	sum := crc32.New(castagnoli)
	length, err := io.Copy(sum, io.LimitReader(f, int64(n.length))) //nolint:gosec // was one
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if uint64(length) != n.length || sum.Sum32() != n.sum { //nolint:gosec // not negative
		return &DamageError{What: fmt.Sprintf("%s, of which %d bytes were synced", name, n.length), Index: firstLost(disk, dir), Cause: errSum}
	}
	return nil
}

// readFile is the content of a small file; nothing, if there is none.
func readFile(disk vfs.FS, path string, most int64) ([]byte, error) {
	f, err := disk.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

// notedFile is a manifest or log that is being written, and noted when synced.
type notedFile struct {
	vfs.File
	kind int
	w    *witness

	mu    sync.Mutex
	note  note
	short bool
}

func (w *witness) Unwrap() vfs.FS { return w.FS }

func (w *witness) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := w.forget(name); err != nil {
		return nil, err
	}
	file, err := w.FS.Create(name, c)
	return w.noted(name, file, err)
}

func (w *witness) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := w.FS.ReuseForWrite(oldname, newname, c)
	return w.noted(newname, file, err)
}

// noted is file, or a notedFile around it if there are notes on such a file.
func (w *witness) noted(name string, file vfs.File, err error) (vfs.File, error) {
	kind, number, ok := noteKind(w.FS.PathBase(name))
	if err != nil || !ok || w.FS.PathDir(name) != w.dir {
		return file, err
	}
	return &notedFile{File: file, kind: kind, w: w, note: note{number: number}}, nil
}

// Write takes the sum first: a file system in memory may spoil p, to find who keeps
// it. After a short write nothing is noted any more.
func (f *notedFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	next := f.note
	f.mu.Unlock()
	next.length += uint64(len(p))
	next.sum = crc32.Update(next.sum, castagnoli, p)
	n, err := f.File.Write(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if n == len(p) {
		f.note = next
	} else {
		f.short = true
	}
	return n, err
}

func (f *notedFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *notedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *notedFile) sync(do func() error) error {
	f.mu.Lock()
	n, short := f.note, f.short
	f.mu.Unlock()
	if err := do(); err != nil || short {
		return err
	}
	return f.w.put(f.kind, n)
}
