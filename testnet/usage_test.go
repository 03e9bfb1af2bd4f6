package testnet

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
)

// usage is what a node's process takes of its machine (R7).
type usage struct {
	files  int   // open ones, sockets too
	memory int64 // bytes that are resident
	stored int   // files in its directory
}

// usage of a running node; false where the system does not show it.
func (n *node) usage(t *testing.T) (u usage, ok bool) {
	t.Helper()
	proc := filepath.Join("/proc", fmt.Sprint(n.process.cmd.Process.Pid))
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return u, false
	}
	u.files = len(open)
	statm, err := os.ReadFile(filepath.Join(proc, "statm"))
	require.NoError(t, err)
	var size, pages int64
	_, err = fmt.Sscan(string(statm), &size, &pages)
	require.NoError(t, err)
	u.memory = pages * int64(os.Getpagesize())
	err = filepath.WalkDir(n.dir, func(_ string, _ fs.DirEntry, err error) error {
		if err == nil {
			u.stored++
		}
		return nil // it may be gone already
	})
	require.NoError(t, err)
	return u, true
}

func (u usage) String() string {
	return fmt.Sprintf("%d open files, %d MiB resident, %d files stored", u.files, u.memory>>20, u.stored)
}

// P4, R7: a member that is restarted ten times as fast as it can be leaves nothing
// behind: no member, connection, file or memory, with it or with the others.
func TestTenRestarts(t *testing.T) {
	t.Parallel()
	nodes := newGroup(t, 3)
	flapping := nodes[2]
	restart := func() {
		flapping.process.kill()
		flapping.start()
	}
	settle := func() (all []usage) {
		for _, n := range nodes {
			n.until("is whole", func(st logmesh.Status) bool { return online(st) && len(st.Members) == 3 && len(st.Bonds) == 2 })
		}
		agree(t, nodes)
		for _, n := range nodes {
			u, ok := n.usage(t)
			if !ok {
				t.Skip("this system does not show what a process uses")
			}
			all = append(all, u)
		}
		return all
	}
	restart() // as one that replays, like the last
	before := settle()
	for range 10 {
		restart()
	}
	after := settle()
	for i := range nodes {
		t.Logf("%s: %v, then %v", nodes[i].name(), before[i], after[i])
		require.LessOrEqual(t, after[i].files, before[i].files+10)
		require.LessOrEqual(t, after[i].memory, before[i].memory+64<<20)
		require.LessOrEqual(t, after[i].stored, before[i].stored+5)
	}
}
