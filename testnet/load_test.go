package testnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
)

// load is writers that put fresh keys through nodes, and what became of each.
type load struct {
	cancel  context.CancelFunc
	writers sync.WaitGroup
	timeout time.Duration // of one put

	mu      sync.Mutex
	acked   map[string]string      // key → value
	refused map[string]error       // the answer said that nothing has happened
	unknown map[string]struct{}    // it may have happened, or may yet
	wrong   []string               // answers that no put may have
	index   map[codec.Index]string // acknowledged key at each index
	slowest map[int]time.Duration  // acknowledged put through each node
	ended   map[int]int            // puts through each node that were not acknowledged
}

const (
	written        = "writer/" // before the keys of a load
	writersPerNode = 2
	writeEvery     = 10 * time.Millisecond // by one writer, if it is answered
)

// startLoad begins to write through all nodes. Its values depend on seed.
func startLoad(nodes []*node, seed uint64, timeout time.Duration) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := newLoad(timeout)
	l.cancel = cancel
	for i := range writersPerNode * len(nodes) {
		at := i % len(nodes)
		l.writers.Go(func() { l.write(ctx, nodes[at], at, i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	return l
}

func newLoad(timeout time.Duration) *load {
	return &load{
		timeout: timeout,
		acked:   map[string]string{}, refused: map[string]error{}, unknown: map[string]struct{}{},
		index: map[codec.Index]string{}, slowest: map[int]time.Duration{}, ended: map[int]int{},
	}
}

func (l *load) write(ctx context.Context, n *node, at, writer int, rng *rand.Rand) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s%d/%06d", written, writer, i)
		l.put(n, at, key, key+strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(1000)))
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// put writes a fresh key through n, which is nodes[at], and reports whether it
// was acknowledged.
func (l *load) put(n *node, at int, key, value string) bool {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout) // a put under way is not cut short at the end
	defer cancel()
	w, err := n.api().Put(ctx, key, []byte(value))
	l.note(at, key, value, w, err, time.Since(began))
	return err == nil
}

func (l *load) note(at int, key, value string, w api.Written, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.ended[at]++
	}
	switch code := codeOf(err); {
	case err == nil && w.Existed:
		l.wrong = append(l.wrong, fmt.Sprintf("%s was there before its only put, at index %d", key, w.Index))
	case err == nil && l.index[w.Index] != "":
		l.wrong = append(l.wrong, fmt.Sprintf("%s and %s are both at index %d", key, l.index[w.Index], w.Index))
	case err == nil:
		l.acked[key], l.index[w.Index] = value, key
		l.slowest[at] = max(l.slowest[at], took)
	case code == api.CodeUnknown, code == api.CodeTimeout:
		l.unknown[key] = struct{}{}
	case code == api.CodeNoLeader, code == api.CodeUnreachable, code == api.CodeStopped:
		l.refused[key] = err
	default:
		l.wrong = append(l.wrong, fmt.Sprintf("%s: %s: %v", key, code, err))
	}
}

func codeOf(err error) api.Code {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// stop ends the load, once the puts under way are answered.
func (l *load) stop() {
	l.cancel()
	l.writers.Wait()
}

// count is how many puts were acknowledged so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// check reads everything through n and compares: an acknowledged put is there,
// one that has not happened is not (R1), and nobody else wrote.
func (l *load) check(t *testing.T, n *node) {
	t.Helper()
	require.Empty(t, l.wrong, "answers")
	has := scan(t, n, written)
	missing := 0
	for key, value := range l.acked {
		if has[key] != value {
			missing++
			t.Errorf("%s: the acknowledged %s is missing or differs: %q", n.dir, key, has[key])
		}
	}
	for key, err := range l.refused {
		if _, ok := has[key]; ok {
			t.Errorf("%s: %s is there, but its put was answered: %v", n.dir, key, err)
		}
	}
	for key := range has {
		_, acked := l.acked[key]
		_, unknown := l.unknown[key]
		_, refused := l.refused[key]
		if !acked && !unknown && !refused {
			t.Errorf("%s: %s is there, and nobody put it", n.dir, key)
		}
	}
	require.Zero(t, missing, "acknowledged puts that %s lacks, of %d", n.dir, len(l.acked))
}

// scan reads all keys below prefix strongly.
func scan(t *testing.T, n *node, prefix string) map[string]string {
	t.Helper()
	has, after := map[string]string{}, ""
	for more := true; more; {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		page, err := n.api().Scan(ctx, api.ScanQuery{Prefix: prefix, After: after, Limit: api.MaxPage, Read: api.Strong})
		cancel()
		require.NoError(t, err)
		for _, item := range page.Items {
			has[item.Key], after = string(item.Value), item.Key
		}
		more = page.More
	}
	return has
}
