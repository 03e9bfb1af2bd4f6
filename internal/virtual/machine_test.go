package virtual

import (
	"encoding/binary"
	"hash/fnv"
	"sync"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// recorder is a machine that notes when what was applied.
type recorder struct {
	// pause, if not nil, is called before each batch.
	pause func(last codec.Index)

	mu    sync.Mutex
	sum   uint64
	steps []step
}

// step is one batch.
type step struct {
	at   time.Time
	last codec.Index
}

func (r *recorder) Signature() string { return "recorder/1" }

func (r *recorder) Apply(b *machine.Batch) {
	h := fnv.New64a()
	var last codec.Index
	for _, c := range b.Commands() {
		_, _ = h.Write(c)
		last = b.Index()
	}
	if r.pause != nil {
		r.pause(last)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum = r.sum*31 + h.Sum64()
	r.steps = append(r.steps, step{time.Now(), last})
}

func (r *recorder) Query(dst, _ []byte) ([]byte, error) { return dst, nil }

func (r *recorder) Digest() (d codec.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	binary.BigEndian.PutUint64(d[:], r.sum)
	return d
}

// applied is the steps so far.
func (r *recorder) applied() []step {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps[:len(r.steps):len(r.steps)]
}
