package logmesh_test

import (
	"errors"
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

var (
	flips    = flag.Int("flips", 8, "how many times TestFlips damages a member's files")
	flipSeed = flag.Uint64("seed", 0, "of TestFlips; 0: another each time")
)

// outcome is how a damaged member came back.
type outcome string

const (
	untouched outcome = "untouched" // nothing that counts was damaged
	torn      outcome = "torn"      // the end of an unclean log was cut off, and came from the leader
	repaired  outcome = "repaired"  // by itself, blocks from the others included
	rejoined  outcome = "rejoined"  // refused, and came back empty as the error said
)

// One of three members has one bit flipped, or one file cut short, anywhere in
// its directory. It always ends level with the others and whole, by itself or by
// the remedy that its error names (faults S2, S3, S4, S8).
func TestFlips(t *testing.T) {
	seed := *flipSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	counts, files := map[outcome]int{}, map[string]map[outcome]int{}
	begun := time.Now()
	for left := *flips; left > 0; left -= flipsOfGroup {
		t.Run("group", func(t *testing.T) {
			d := newDamaged(t, rng)
			for n := range min(left, flipsOfGroup) {
				ended, kind := d.flip(n)
				counts[ended]++
				if files[kind] == nil {
					files[kind] = map[outcome]int{}
				}
				files[kind][ended]++
				if ended == rejoined || d.moved() {
					d.takeImages() // the log has moved on
				}
			}
		})
	}
	t.Logf("%d damages in %v: %v; by file %v", *flips, time.Since(begun).Round(time.Second), counts, files)
}

// flipsOfGroup is after how many damages a new group begins, because the log of
// the old one grows with every member that comes back.
const flipsOfGroup = 25

// damaged is a group of three whose member victim is damaged again and again.
type damaged struct {
	*cluster
	rng    *rand.Rand
	victim int
	last   codec.Index
	images [2]image
}

// image is a copy of the victim's ledger at the end of the log.
type image struct {
	dir   string
	clean bool // it was stopped
	stat  ledger.Stats
}

func newDamaged(t *testing.T, rng *rand.Rand) *damaged {
	t.Helper()
	d := &damaged{cluster: newCluster(t, 3), rng: rng}
	d.voters(3)
	d.takeImages()
	return d
}

// takeImages writes on, and copies the ledger of a member that does not lead:
// blocks in tables and in the log, once while it runs, once stopped.
func (d *damaged) takeImages() {
	d.t.Helper()
	if d.nodes[d.victim] == nil {
		d.start(d.victim) // the last one damaged: the next may be another
	}
	d.victim = d.follower()
	d.settle(3)
	d.voters(3)
	d.agree(fill(d.t, d.group[d.victim], 1500, 100).Index)
	d.stop(d.victim)
	d.start(d.victim)
	d.last = fill(d.t, d.group[d.victim], 700, 100).Index
	d.agree(d.last)
	d.images[0] = d.take("crashed")
	d.stop(d.victim)
	d.images[1] = d.take("stopped")
}

func (d *damaged) ledger() string { return d.ledgerOf(d.victim) }

func (d *damaged) take(name string) image {
	d.t.Helper()
	m := image{dir: filepath.Join(d.dir, name), clean: name == "stopped"}
	replace(d.t, d.ledger(), m.dir)
	require.Empty(d.t, problems(d.t, m.dir))
	var err error
	m.stat, err = ledger.Stat(vfs.Default, m.dir)
	require.NoError(d.t, err)
	return m
}

// replace makes to a copy of from.
func replace(t testing.TB, from, to string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(to))
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
}

func problems(t testing.TB, dir string) (told []*ledger.DamageError) {
	t.Helper()
	require.NoError(t, ledger.Verify(vfs.Default, dir, actors.Fold, func(d *ledger.DamageError) { told = append(told, d) }))
	return told
}

// moved reports whether the log is longer than in the images.
func (d *damaged) moved() bool { return d.group[d.leader()].Status().Last != d.images[0].stat.Last }

// flip damages the victim once and brings it back. kind is that of the file.
func (d *damaged) flip(n int) (ended outcome, kind string) {
	t := d.t
	t.Helper()
	m := d.images[n%2]
	replace(t, m.dir, d.ledger())
	file, what := d.damage()
	found := problems(t, d.ledger())
	t.Logf("%d: %s, %s of %s; verify: %v", n, filepath.Base(m.dir), what, file, found)
	ended = untouched
	switch st, err := ledger.Stat(vfs.Default, d.ledger()); {
	case len(found) > 0:
		ended = repaired
	case !m.clean && strings.HasSuffix(file, ".log") && (err != nil || st.Last < m.stat.Last || st.Hard != m.stat.Hard || st.Head != m.stat.Head):
		ended = torn
	default:
		require.NoError(t, err)
		st.Bytes, st.Stopped = m.stat.Bytes, m.stat.Stopped
		require.Equal(t, m.stat, st, "damage that went unnoticed")
	}
	if d.comeBack() {
		ended = rejoined
	}
	d.agree(d.last)
	t.Logf("%d: %s", n, ended)
	d.stop(d.victim)
	require.Empty(t, problems(t, d.ledger()))
	return ended, strings.Trim(file, "-.0123456789")
}

// choose takes any of files, or one by its size.
func (d *damaged) choose(files []string) string {
	if d.rng.IntN(2) == 0 {
		return files[d.rng.IntN(len(files))]
	}
	total, sizes := int64(0), make([]int64, len(files))
	for i, file := range files {
		info, err := os.Stat(file)
		require.NoError(d.t, err)
		sizes[i] = info.Size()
		total += sizes[i]
	}
	at := d.rng.Int64N(total)
	for i, size := range sizes {
		if at -= size; at < 0 {
			return files[i]
		}
	}
	return files[0]
}

// damage flips a bit of a file of the victim's ledger, or cuts the file short.
func (d *damaged) damage() (file, what string) {
	t := d.t
	t.Helper()
	var files []string
	require.NoError(t, filepath.WalkDir(d.ledger(), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil && info.Size() > 0 {
				files = append(files, path)
			}
		}
		return err
	}))
	file = d.choose(files)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	at := d.rng.IntN(len(data))
	if what = "a flipped bit"; d.rng.IntN(3) == 0 {
		what, data = "the truncation", data[:at]
	} else {
		data[at] ^= 1 << d.rng.IntN(8)
	}
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return filepath.Base(file), what
}

// comeBack starts the victim and does what errors ask for until it is level;
// rejoined reports whether it had to come back empty.
func (d *damaged) comeBack() (rejoined bool) {
	t := d.t
	t.Helper()
	d.open(d.victim)
	for {
		err := d.join(d.victim)
		if err == nil {
			err = d.level()
		}
		if err == nil {
			return rejoined
		}
		t.Logf("   %v", err)
		var damage *logmesh.DamagedError
		require.ErrorAs(t, err, &damage)
		if damage.Repairable {
			continue // Join again
		}
		require.False(t, rejoined, "an empty directory is damaged")
		require.ErrorContains(t, err, "away and join the group again")
		require.NoError(t, os.Rename(d.ledger(), filepath.Join(t.TempDir(), "away")))
		rejoined = true
	}
}

// level waits until the victim is level, or its group has stopped.
func (d *damaged) level() error {
	g := d.group[d.victim]
	end := time.After(30 * time.Second)
	for {
		s := g.Status()
		if s.Phase == logmesh.PhaseOnline && s.Applied >= d.last {
			return nil
		}
		select {
		case <-g.Done():
			if err := g.Err(); err != nil {
				return err
			}
			return errors.New("stopped without a reason")
		case <-end:
			require.FailNow(d.t, "not level", "%+v", s)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
