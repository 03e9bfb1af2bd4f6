package testnet

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

// watch looks at the nodes of a mesh until it is stopped, and checks that a term
// has one leader (R5).
type watch struct {
	mesh   *mesh
	ctx    context.Context // ends with the watch
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	leaders map[codec.Term]codec.PeerID
	wrong   []string
}

const watchEvery = 100 * time.Millisecond

func newWatch(m *mesh) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{mesh: m, ctx: ctx, cancel: cancel, leaders: map[codec.Term]codec.PeerID{}}
	for _, n := range m.nodes {
		w.add(n)
	}
	return w
}

// add looks at one node, each look waited for before the next.
func (w *watch) add(n *node) {
	w.done.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			if st, ok := n.status(); ok {
				w.observe(st)
			}
			select {
			case <-tick.C:
			case <-w.ctx.Done():
				return
			}
		}
	})
}

func (w *watch) observe(st logmesh.Status) {
	if st.Leader == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := w.leaders[st.Term]; ok && other != st.Leader {
		w.wrong = append(w.wrong, fmt.Sprintf("term %d has two leaders: %s and %s", st.Term, other, st.Leader))
	}
	w.leaders[st.Term] = st.Leader
}

// stop ends the watch and fails the test if anything was wrong.
func (w *watch) stop() {
	w.mesh.t.Helper()
	w.end()
	require.Empty(w.mesh.t, w.wrong)
}

func (w *watch) end() {
	w.cancel()
	w.done.Wait()
}

// pause stops a node's process where it stands; what it gives lets it go on.
func (m *mesh) pause(n *node) (resume func()) {
	m.t.Helper()
	p := n.process
	m.did("pause", n)
	p.suspend(m.t)
	return sync.OnceFunc(func() {
		m.did("resume", n)
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have been killed
	})
}
