package ledger

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// bulkFile is the table that a Release writes before Pebble takes it over. One
// that a crash left is written over by the next.
const bulkFile = "BULK.sst"

// ingest makes the records of blocks from first on durable, as one table of their
// own: they are written once, neither to Pebble's log nor through its memory, and,
// since they lie behind all other blocks, never compacted. Nothing counts before
// the head says so: blocks behind the head are deleted by the next Open.
func (s *store) ingest(first uint64, blocks []Block) error {
	if err := s.w.failure(); err != nil {
		return err
	}
	path := s.in(bulkFile)
	if err := errors.Join(s.writeTable(path, first, blocks), s.w.failure()); err != nil {
		return s.failed(err)
	}
	if err := s.db.Ingest(context.Background(), []string{path}); err != nil {
		return s.failed(err)
	}
	return s.w.failure() // Pebble does not know
}

func (s *store) writeTable(path string, first uint64, blocks []Block) error {
	file, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	size := tableRoom
	for i := range blocks {
		size += len(blocks[i].Data) + blockRoomInTable
	}
	buf := tables.Get().(*[]byte)
	defer tables.Put(buf)
	table := &tableFile{file: file, buf: slices.Grow((*buf)[:0], size)}
	w := sstable.NewWriter(table, s.tableOptions())
	for i := range blocks {
		err = errors.Join(err, w.Set(numbered(prefixBlock, first+uint64(i)), blocks[i].Data))
	}
	err = errors.Join(err, w.Close())
	*buf = table.buf
	return err
}

// tables keeps the memory that tables are written in.
var tables = sync.Pool{New: func() any { return new([]byte) }}

// What a table, and a block in it, take beside the blocks' bytes; usually.
const (
	tableRoom        = 16 << 10
	blockRoomInTable = 256
)

// tableOptions are those of Pebble's lowest level. Blocks are not compressed: what
// is in them often is already, and it would cost more than the disk does.
func (s *store) tableOptions() sstable.WriterOptions {
	var opts pebble.Options
	opts.EnsureDefaults()
	out := opts.MakeWriterOptions(len(opts.Levels)-1, s.db.FormatMajorVersion().MaxTableFormat())
	out.Compression = block.NoCompression
	return out
}
