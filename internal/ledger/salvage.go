package ledger

import (
	"bytes"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/logmesh/logmesh/codec"
)

// firstLost says where the damage begins in a database whose log Pebble refuses:
// the index behind the last entry or block that the whole part of the log holds.
// 0 means that this cannot be told. Nothing it reads is believed for more.
func firstLost(fs vfs.FS, dir string) codec.Index {
	logs, err := wal.Scan(wal.Dir{FS: fs, Dirname: dir})
	if err != nil {
		return 0
	}
	last := codec.Index(0)
	for _, log := range logs {
		if !lastIn(log, &last) && last > 0 {
			return last + 1
		}
	}
	return 0
}

// lastIn raises last to what the log holds, and reports whether it is whole.
func lastIn(log wal.LogicalLog, last *codec.Index) bool {
	r := log.OpenForRead()
	defer func() { _ = r.Close() }()
	for {
		record, _, err := r.NextRecord()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		var repr bytes.Buffer
		if _, err := io.Copy(&repr, record); err != nil {
			return false
		}
		if repr.Len() < batchrepr.HeaderLen {
			continue
		}
		for b := batchrepr.Read(repr.Bytes()); ; {
			kind, key, value, ok, err := b.Next()
			if err != nil || !ok {
				break
			}
			if kind == pebble.InternalKeyKindSet {
				*last = max(*last, indexIn(key, value))
			}
		}
	}
}

// indexIn is the highest index that a record of the log holds or ends at.
func indexIn(key, value []byte) codec.Index {
	if len(key) == 0 {
		return 0
	}
	switch key[0] {
	case prefixEntry:
		if len(key) == 9 {
			return codec.Index(numberOf(key))
		}
	case prefixSpan:
		if body, err := bodyOf(key, value); err == nil {
			where, err := readSpan(body)
			if err == nil {
				return where.last.Index
			}
		}
	}
	return 0
}
