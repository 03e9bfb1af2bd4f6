package p2ptest

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/logmesh/logmesh/codec"
)

// syncProtocol is that of the streams on which blocks are served.
const syncProtocol protocol.ID = "/logmesh/1/sync"

// Faults is what a node does wrong as a server of sync streams, and in what it
// offers. Its connections stay as they are, and so does all other traffic. The zero
// value does nothing.
type Faults struct {
	// Rewrite, if not nil when a stream is opened, may change each frame that the
	// node sends on it, or by which it answers gossip. It returns the new body, which
	// may be the old one.
	Rewrite func(codec.FrameType, []byte) []byte

	mu      sync.Mutex
	mute    bool          // half a write, then nothing
	deaf    bool          // nothing is read
	changed chan struct{} // closed, and replaced, when one of these changes
}

// Mute makes the node stop in the middle of what it sends.
func (f *Faults) Mute() { f.set(true, false) }

// Deafen makes the node read nothing any more. What it was asked for, it sends.
func (f *Faults) Deafen() { f.set(false, true) }

// Heal makes the node go on.
func (f *Faults) Heal() { f.set(false, false) }

func (f *Faults) set(mute, deaf bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mute, f.deaf = mute, deaf
	if f.changed != nil {
		close(f.changed)
	}
	f.changed = make(chan struct{})
}

func (f *Faults) state() (mute, deaf bool, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.mute, f.deaf, f.changed
}

// Over puts the faults between a host and the streams that it serves: see
// p2p.Config.Over.
func (f *Faults) Over(h host.Host) host.Host { return &faultyHost{h, f} }

type faultyHost struct {
	host.Host
	faults *Faults
}

func (h *faultyHost) SetStreamHandler(id protocol.ID, handle network.StreamHandler) {
	if id != syncProtocol {
		h.Host.SetStreamHandler(id, handle)
		return
	}
	h.Host.SetStreamHandler(id, func(s network.Stream) { handle(newFaultyStream(s, h.faults)) })
}

// faultyStream is a served sync stream.
type faultyStream struct {
	network.Stream
	faults *Faults
	out    *io.PipeWriter // to what rewrites; nil: nothing does
	once   sync.Once
	ended  chan struct{} // it was closed or reset here

	mu          sync.Mutex
	read, write time.Time // deadlines
}

func newFaultyStream(s network.Stream, f *Faults) *faultyStream {
	x := &faultyStream{Stream: s, faults: f, ended: make(chan struct{})}
	if f.Rewrite != nil {
		var r *io.PipeReader
		r, x.out = io.Pipe()
		go x.rewrite(r, f.Rewrite)
	}
	return x
}

// served are the frames that a node sends on a sync stream that it serves.
var served = []codec.FrameType{codec.TypeAvailabilityReply, codec.TypeLeaves, codec.TypeBlocks, codec.TypeEnd}

// rewrite passes on what is written. The pipe holds nothing: a Write waits for
// the stream as it would without it.
func (x *faultyStream) rewrite(r *io.PipeReader, change func(codec.FrameType, []byte) []byte) {
	for {
		kind, body, err := codec.ReadFrame(r, nil, served...)
		if err == nil {
			body = change(kind, body)
			_, err = x.Stream.Write(append(codec.AppendFrameHead(nil, kind, len(body)), body...))
		}
		if err != nil {
			_ = r.CloseWithError(err)
			return
		}
	}
}

func (x *faultyStream) Write(p []byte) (int, error) {
	sent := 0
	if mute, _, _ := x.faults.state(); mute {
		sent = len(p) / 2
		if n, err := x.pass(p[:sent]); err != nil {
			return n, err
		}
		if err := x.await(&x.write, func() bool { mute, _, _ := x.faults.state(); return !mute }); err != nil {
			return sent, err
		}
	}
	n, err := x.pass(p[sent:])
	return sent + n, err
}

func (x *faultyStream) pass(p []byte) (int, error) {
	if x.out != nil {
		return x.out.Write(p)
	}
	return x.Stream.Write(p)
}

// Read holds back what comes while the node is deaf.
func (x *faultyStream) Read(p []byte) (int, error) {
	if err := x.await(&x.read, func() bool { _, deaf, _ := x.faults.state(); return !deaf }); err != nil {
		return 0, err
	}
	return x.Stream.Read(p)
}

// await waits until ok, the stream's end or a deadline.
func (x *faultyStream) await(deadline *time.Time, ok func() bool) error {
	x.mu.Lock()
	at := *deadline
	x.mu.Unlock()
	ctx := context.Background()
	if !at.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, at)
		defer cancel()
	}
	for {
		_, _, changed := x.faults.state()
		if ok() {
			return nil
		}
		select {
		case <-changed:
		case <-x.ended:
			return network.ErrReset
		case <-ctx.Done():
			return os.ErrDeadlineExceeded
		}
	}
}

func (x *faultyStream) SetReadDeadline(t time.Time) error {
	x.mu.Lock()
	x.read = t
	x.mu.Unlock()
	return x.Stream.SetReadDeadline(t)
}

func (x *faultyStream) SetWriteDeadline(t time.Time) error {
	x.mu.Lock()
	x.write = t
	x.mu.Unlock()
	return x.Stream.SetWriteDeadline(t)
}

func (x *faultyStream) Close() error {
	x.end()
	return x.Stream.Close()
}

func (x *faultyStream) Reset() error {
	x.end()
	return x.Stream.Reset()
}

func (x *faultyStream) ResetWithError(code network.StreamErrorCode) error {
	x.end()
	return x.Stream.ResetWithError(code)
}

func (x *faultyStream) end() {
	x.once.Do(func() {
		close(x.ended)
		if x.out != nil {
			_ = x.out.Close()
		}
	})
}
