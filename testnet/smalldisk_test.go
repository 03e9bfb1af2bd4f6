package testnet

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/api"
)

const (
	diskBytes   = 512 << 20 // of a small disk
	fullReserve = 48 << 20  // what is left free on a full one: less than a ledger's reserve of 64 MiB
)

// smallDisk is a file system in memory with a node's directory on it.
type smallDisk struct {
	path string
	node *node
}

// newSmallDisk mounts a file system at a node's directory until the test ends.
// Without the right to mount there is none: nil.
func newSmallDisk(t *testing.T, n *node) *smallDisk {
	t.Helper()
	if os.Geteuid() != 0 || os.MkdirAll(n.dir, 0o700) != nil {
		return nil
	}
	if err := syscall.Mount("tmpfs", n.dir, "tmpfs", 0, "mode=0700,size="+strconv.Itoa(diskBytes)); err != nil {
		t.Logf("no small disk: %v", err)
		return nil
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(n.dir, syscall.MNT_DETACH)) })
	return &smallDisk{path: n.dir, node: n}
}

func (d *smallDisk) filler() string { return filepath.Join(d.path, "filler") }

// fill takes the disk's space until less than the reserve is left.
func (d *smallDisk) fill(t *testing.T) {
	t.Helper()
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(d.path, &st))
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer f.Close() //nolint:errcheck // its bytes mean nothing
	if more := int64(st.Bavail)*st.Bsize - fullReserve; more > 0 {
		require.NoError(t, syscall.Fallocate(int(f.Fd()), 0, 0, more))
	}
}

// free gives the space back.
func (d *smallDisk) free(t *testing.T) {
	t.Helper()
	require.NoError(t, os.Remove(d.filler()))
}

// S6: a leader whose disk is nearly full takes no writes, says so, hands over, and
// stays readable; with room again all is well.
func TestSmallDisk(t *testing.T) {
	t.Parallel()
	disks := map[*node]*smallDisk{}
	m := newMesh(t, 3, func(n *node) { disks[n] = newSmallDisk(t, n) })
	m.lead()
	full := m.nodes[0]
	if disks[full] == nil {
		t.Skip("no right to mount a small file system")
	}
	put(t, full, "k", "before")
	filled := time.Now()
	disks[full].fill(t)
	full.until("says that its disk is full", func(st logmesh.Status) bool { return strings.Contains(strings.Join(st.Alerts, " "), "disk") })
	full.until("follows another", func(st logmesh.Status) bool { return online(st) && st.Role != "leader" })
	t.Logf("handed over %v after the disk was full", time.Since(filled).Round(time.Millisecond))
	v, err := full.api().Get(t.Context(), "k", api.Local)
	require.NoError(t, err)
	require.Equal(t, "before", string(v.Data))
	put(t, full, "k", "through a full member") // the new leader takes it
	disks[full].free(t)
	full.until("is well again", func(st logmesh.Status) bool { return len(st.Alerts) == 0 })
	agree(t, m.nodes)

	// With every disk full nothing is acknowledged, and everything can be read.
	for _, n := range m.nodes {
		disks[n].fill(t)
	}
	for _, n := range m.nodes {
		n.until("says that its disk is full", func(st logmesh.Status) bool { return len(st.Alerts) > 0 })
	}
	wrote := <-putLater(m.nodes[1], 3*time.Second, "k", "into full disks")
	require.Error(t, wrote.err)
	read := <-getLater(m.nodes[2], patience, "k")
	require.NoError(t, read.err)
	require.Equal(t, "through a full member", read.value)
	for _, n := range m.nodes {
		disks[n].free(t)
	}
	require.NoError(t, (<-putLater(m.nodes[1], patience, "k", "after")).err)
	agree(t, m.nodes)
	t.Logf("with every disk full a put ends after %v: %v", wrote.took.Round(time.Millisecond), wrote.err)
}
