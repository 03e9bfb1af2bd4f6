package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/logmesh/logmesh/codec"
)

// The files in a ledger's directory.
const (
	databaseDir = "pebble"
	markerFile  = "STOPPED"
)

// marker says what a ledger held when it was stopped cleanly. It lies beside the
// database, so that a database that lost its newest files is found out.
type marker struct {
	last codec.Cursor // of the raft view
	hard codec.HardState
	head codec.Head
}

// stopped is the marker for what the ledger holds now.
func (l *Ledger) stopped() marker {
	m := marker{hard: l.raft.hard, head: l.synced.head()}
	if l.raft.exists {
		m.last = codec.Cursor{Index: l.raft.last(), Term: l.raft.terms.at(l.raft.last())}
	}
	return m
}

func markerBody(m marker) []byte {
	h := m.hard
	body := numbersBody(formatVersion, uint64(m.last.Index), uint64(m.last.Term), uint64(h.Term), uint64(h.Vote), uint64(h.Commit), m.head.Blocks, uint64(m.head.Last))
	return append(body, m.head.Root[:]...)
}

func readMarkerBody(body []byte) (m marker, err error) {
	const numbers = 8
	if len(body) != numbers*8+len(m.head.Root) {
		return m, errSize
	}
	n, err := readNumbers(body[:numbers*8], numbers)
	if err != nil {
		return m, err
	}
	if n[0] != formatVersion {
		return m, &FormatError{Stored: n[0], Known: formatVersion}
	}
	return marker{
		last: cursor(n[1], n[2]),
		hard: codec.HardState{Term: codec.Term(n[3]), Vote: codec.RaftID(n[4]), Commit: codec.Index(n[5])},
		head: codec.Head{Blocks: n[6], Last: codec.Index(n[7]), Root: codec.Hash(body[numbers*8:])},
	}, nil
}

// writeMarker writes the marker file, durably and at once whole.
func writeMarker(fs vfs.FS, dir string, m marker) error {
	path := fs.PathJoin(dir, markerFile)
	f, err := fs.Create(path+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(withSum([]byte(markerFile), markerBody(m)))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = errors.Join(fs.Rename(path+".new", path), syncDir(fs, dir))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readMarker reads the marker file; found is false if the last stop was not
// clean, or there was none.
func readMarker(fs vfs.FS, dir string) (m marker, found bool, err error) {
	path := fs.PathJoin(dir, markerFile)
	f, err := fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("read %s: %w", path, err)
	}
	value, err := io.ReadAll(io.LimitReader(f, 4096))
	if err = errors.Join(err, f.Close()); err != nil {
		return m, false, fmt.Errorf("read %s: %w", path, err)
	}
	body, err := bodyOf([]byte(markerFile), value)
	if err == nil {
		m, err = readMarkerBody(body)
	}
	if err != nil {
		return m, false, damage(markerFile, 0, err)
	}
	return m, true, nil
}

// clearMarker removes the marker, durably, before anything is written that it
// does not know.
func clearMarker(fs vfs.FS, dir string) error {
	err := fs.Remove(fs.PathJoin(dir, markerFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, syncDir(fs, dir)); err != nil {
		return fmt.Errorf("remove %s: %w", markerFile, err)
	}
	return nil
}

// check compares the marker with what was found.
func (m marker) check(found marker) error {
	if m == found {
		return nil
	}
	lost := min(m.last.Index, found.last.Index) + 1
	if m.head != found.head && m.last == found.last {
		lost = min(m.head.Last, found.head.Last) + 1
	}
	return &DamageError{
		What: fmt.Sprintf("at its clean stop it held entry %v, hard state %+v and %v; now it holds %v, %+v and %v",
			m.last, m.hard, m.head, found.last, found.hard, found.head),
		Index: lost,
	}
}
