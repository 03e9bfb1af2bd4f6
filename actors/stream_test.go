package actors

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

var errReset = errors.New("stream reset")

// half is one direction of a stream in memory.
type half struct {
	mu       sync.Mutex
	cond     *sync.Cond
	buf      []byte
	limit    int // bytes that a writer gets ahead of the reader
	eof      bool
	err      error
	deadline struct{ read, write time.Time }
}

func newHalf(limit int) *half {
	h := &half{limit: limit}
	h.cond = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.buf) == 0 {
		switch {
		case h.err != nil:
			return 0, h.err
		case h.eof:
			return 0, io.EOF
		case passed(h.deadline.read):
			return 0, os.ErrDeadlineExceeded
		}
		h.cond.Wait()
	}
	n := copy(p, h.buf)
	h.buf = h.buf[n:]
	h.cond.Broadcast()
	return n, nil
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 {
		switch {
		case h.err != nil:
			return n, h.err
		case h.eof:
			return n, io.ErrClosedPipe
		case passed(h.deadline.write):
			return n, os.ErrDeadlineExceeded
		case len(h.buf) >= h.limit:
			h.cond.Wait()
			continue
		}
		k := min(len(p), h.limit-len(h.buf))
		h.buf = append(h.buf, p[:k]...)
		p, n = p[k:], n+k
		h.cond.Broadcast()
	}
	return n, nil
}

func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.cond.Broadcast()
}

func (h *half) setDeadline(d *time.Time, t time.Time) {
	h.change(func() { *d = t })
	if !t.IsZero() {
		time.AfterFunc(time.Until(t)+1, func() { h.change(func() {}) })
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// memStream is one end of a stream in memory.
type memStream struct{ in, out *half }

// streamPair is a stream whose ends buffer limit bytes each way.
func streamPair(limit int) (a, b *memStream) {
	x, y := newHalf(limit), newHalf(limit)
	return &memStream{in: x, out: y}, &memStream{in: y, out: x}
}

func (s *memStream) Read(p []byte) (int, error)  { return s.in.read(p) }
func (s *memStream) Write(p []byte) (int, error) { return s.out.write(p) }

func (s *memStream) Close() error {
	s.out.change(func() { s.out.eof = true })
	return nil
}

func (s *memStream) Reset() error {
	for _, h := range []*half{s.in, s.out} {
		h.change(func() { h.err, h.buf = errReset, nil })
	}
	return nil
}

func (s *memStream) SetReadDeadline(t time.Time) error {
	s.in.setDeadline(&s.in.deadline.read, t)
	return nil
}

func (s *memStream) SetWriteDeadline(t time.Time) error {
	s.out.setDeadline(&s.out.deadline.write, t)
	return nil
}

// waiting is how many bytes were written to this end and not read yet.
func (s *memStream) waiting() int {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return len(s.in.buf)
}

// broken reports whether the stream was reset.
func (s *memStream) broken() bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.in.err != nil
}
