package ledger

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/logmesh/logmesh/codec"
)

// Defaults of Options.
const (
	DefaultHorizonBlocks = 128
	DefaultReserve       = 64 << 20
	DefaultBulkBytes     = 512 << 10
)

// Options of a ledger. Group, Peer and one of Dir and Memory are needed.
type Options struct {
	FS     vfs.FS // default: the operating system's
	Dir    string // made if it is missing; nothing else may be kept in it
	Memory bool   // nothing is kept: the same ledger on a file system in memory
	Logger *slog.Logger

	Group codec.GroupID
	Peer  codec.PeerID
	// Salt makes the raft id. It must be fresh random bytes; a directory that
	// holds a ledger keeps the one it was made with.
	Salt [16]byte
	// Fold derives the configuration that a configuration entry makes. Without
	// it configurations stay empty.
	Fold Fold

	HorizonBlocks int   // how many sealed blocks Raft still sees; default 128
	Reserve       int64 // Full reports true below so many free bytes; default 64 MiB
	BulkBytes     int   // a Release of so many bytes is written as a table of its own; default 512 KiB
}

// Fold derives the configuration that a configuration entry makes of the one
// before it, from the log alone. An error says that the entry cannot stand there.
type Fold func(codec.Configuration, codec.Entry) (codec.Configuration, error)

func (o *Options) complete() error {
	if o.Memory {
		o.FS, o.Dir = vfs.NewMem(), "/ledger"
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Fold == nil {
		o.Fold = func(c codec.Configuration, _ codec.Entry) (codec.Configuration, error) { return c, nil }
	}
	if o.HorizonBlocks == 0 {
		o.HorizonBlocks = DefaultHorizonBlocks
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.BulkBytes == 0 {
		o.BulkBytes = DefaultBulkBytes
	}
	switch {
	case o.Dir == "":
		return errors.New("ledger: no directory")
	case o.Peer == "" || o.Group.IsZero():
		return errors.New("ledger: no group or peer")
	case o.HorizonBlocks < 0 || o.Reserve < 0 || o.BulkBytes < 0:
		return fmt.Errorf("ledger: a horizon of %d blocks, a reserve of %d bytes, tables from %d bytes on", o.HorizonBlocks, o.Reserve, o.BulkBytes)
	}
	return nil
}

// Ledger is the durable log of one group on one node. All methods are safe for
// concurrent use. What a method returns is never changed by the ledger later,
// and must not be changed by the caller.
type Ledger struct {
	// Set once.
	opts   Options
	store  *store
	raftID codec.RaftID
	cache  blockCache
	space  space

	// life is held for reading by whoever uses the store, and for writing by Close.
	life   sync.RWMutex
	closed bool // guarded by life

	// raftMu serializes changes of the raft view, syncMu those of the synced
	// view; who needs both takes raftMu first. They are held while the disk
	// works, so that Save never waits for Release to do more than share a sync.
	raftMu, syncMu sync.Mutex

	// mu guards what follows. It is never held while the disk works; writers of
	// a view also hold that view's mutex, so they may read it without mu.
	mu       sync.RWMutex
	raft     raftView
	synced   syncedView
	gaps     gaps // while there are any: no raft view, and no tree
	logID    codec.LogID
	removed  codec.Index // by the entry here; 0: not
	diverged error

	damaged atomic.Pointer[DamageError] // the first that was found since Open
}

// Open opens the ledger in opts.Dir, or makes one. Errors that callers act on:
// ErrInUse, *ForeignError, *FormatError, *FailedError, and *DamageError, after
// which Repair may help. A ledger that was repaired may have Holes.
func Open(opts Options) (*Ledger, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	s, err := lockStore(opts.FS, opts.Dir, opts.Logger, false)
	if err != nil {
		return nil, err
	}
	l := &Ledger{opts: opts, store: s}
	s.broken = func(d *DamageError) { l.note(d) }
	if err := s.checkFlags(); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	if err := s.openDB(false); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	return l, nil
}

// Close stops all use of the ledger and leaves a marker of the clean stop, which
// the next Open compares with what it finds. After a failed write it leaves none
// and returns that failure; while blocks are missing, that of the last clean stop
// stays, if there is one.
func (l *Ledger) Close() error {
	l.life.Lock()
	defer l.life.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if err := l.store.close(); err != nil {
		return err
	}
	var err error
	if !l.gaps.open {
		err = writeMarker(l.store.fs, l.opts.Dir, l.stopped())
	}
	return errors.Join(err, l.store.w.failure(), l.store.unlock())
}

// enter begins, and leave ends, a use of the store.
func (l *Ledger) enter() error {
	l.life.RLock()
	if l.closed {
		l.life.RUnlock()
		return ErrClosed
	}
	return nil
}

func (l *Ledger) leave() { l.life.RUnlock() }

// exclusive is enter together with both views' locks, in their order, for what
// changes both views or needs neither to move.
func (l *Ledger) exclusive() (release func(), err error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	l.raftMu.Lock()
	l.syncMu.Lock()
	return func() {
		l.syncMu.Unlock()
		l.raftMu.Unlock()
		l.leave()
	}, nil
}

// RaftID is the id under which this ledger's node takes part in Raft.
func (l *Ledger) RaftID() codec.RaftID { return l.raftID }

// Failed is the failed write or sync, or the divergence, after which nothing
// more is written; nil as long as all is well.
func (l *Ledger) Failed() error {
	if err := l.store.w.failure(); err != nil {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.diverged
}

// commit writes b, unless the ledger has failed or has holes.
func (l *Ledger) commit(b *pebble.Batch, sync bool) error {
	if err := l.writable(); err != nil {
		_ = b.Close()
		return err
	}
	return l.store.commit(b, sync)
}

// writable says why nothing may be written; nil: it may.
func (l *Ledger) writable() error {
	if err := l.Failed(); err != nil {
		return err
	}
	if len(l.Holes()) > 0 {
		return errHoles
	}
	return nil
}
