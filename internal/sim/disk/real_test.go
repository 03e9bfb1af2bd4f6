package disk_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

const (
	testDir  = "/data/group"
	testPeer = codec.PeerID("12D3KooWTest")
)

func testOptions() ledger.Options {
	return ledger.Options{
		Dir: testDir, Group: codec.GroupIDOf(codec.NetworkIDOf("test"), "main"), Peer: testPeer,
		Salt: [16]byte{1}, Fold: testFold, HorizonBlocks: 2,
	}
}

var errIO = errors.New("input/output error")

// real is a ledger on Pebble, on a file system in memory that can crash.
type real struct {
	*ledger.Ledger
	fs     *vfs.MemFS
	fail   atomic.Bool // syncs of the write-ahead log
	starts int
	around func(c change, do func() error) error
	broken atomic.Bool // a change failed
}

func newReal() *real { return &real{fs: vfs.NewCrashableMem()} }

func (r *real) restart() error {
	opts := testOptions()
	if r.starts++; r.starts%2 == 1 { // catch-up's blocks as tables, and as batches
		opts.BulkBytes = 1
	}
	opts.FS = aroundFS{r.fs, func(c change, do func() error) error {
		switch {
		case c.sync && strings.HasSuffix(c.path, ".log") && r.fail.Load():
			return errIO
		case r.around != nil:
			return r.around(c, do)
		}
		return do()
	}}
	l, err := ledger.Open(opts)
	if err == nil {
		r.Ledger = l
	}
	return err
}

func (r *real) broke() bool { return r.broken.Load() }

func (r *real) heal() {
	r.around = nil
	r.broken.Store(false)
}

func (r *real) failNext(on bool) { r.fail.Store(on) }

func (r *real) crash(c chooser) {
	old := r.fs
	r.fs = old.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: 50 * c.upTo("unsynced", 2),
		RNG:                 rand.New(rand.NewPCG(uint64(c.upTo("seed", 1<<30)), 0)),
	})
	_ = r.Close()
}

// verify is what an offline check of the stopped ledger finds.
func (r *real) verify() (err error) {
	found := ledger.Verify(r.fs, testDir, testFold, func(d *ledger.DamageError) { err = errors.Join(err, d) })
	return errors.Join(err, found)
}
