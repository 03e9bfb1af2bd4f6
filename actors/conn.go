package actors

import (
	"bufio"
	"errors"
	"sync"
	"time"

	"github.com/logmesh/logmesh/codec"
)

const (
	connBuffer       = 256 << 10        // bytes read ahead from a stream
	connQueue        = 256              // frames that may wait to be written
	connWriteTimeout = 30 * time.Second // for one frame; a reader that never reads is cut off
	connTokens       = 64               // frames that were read and not yet handled
)

var (
	errQueueFull = errors.New("the peer does not read what it is sent")
	errConnDone  = errors.New("the stream was closed here")
)

// frame is one frame that came from a stream. Whoever handles it calls done,
// which lets the stream's reader read further.
type frame struct {
	kind codec.FrameType
	body []byte
	done func()
}

// conn is a sync stream with its two goroutines: the reader hands over frames,
// at most connTokens at a time, and the writer writes what was queued. Nobody
// who uses a conn ever blocks on the peer.
type conn struct {
	stream  Stream
	out     chan outgoing
	tokens  chan struct{}
	stopped chan struct{}
	once    sync.Once

	squeezer squeezer // the writer's
}

// outgoing is a frame to write, or a block.
type outgoing struct {
	frame   []byte
	block   blockOut
	written func() // may be nil
}

// blockOut is a block on its way out. It is compressed, if it is wanted so and
// shorter then, where it is written: not in the actor that serves others, too.
type blockOut struct {
	lease, number uint64
	data          []byte
	zstd          bool
}

// startConn starts the goroutines. deliver is called by the reader for each
// frame of one of the allowed types, ended once, when either side has failed or
// the conn was closed here.
func startConn(s Stream, idle time.Duration, allowed []codec.FrameType, deliver func(frame), ended func(error)) *conn {
	c := &conn{stream: s, out: make(chan outgoing, connQueue), tokens: make(chan struct{}, connTokens), stopped: make(chan struct{})}
	var once sync.Once
	end := func(err error) {
		c.close()
		once.Do(func() { ended(err) })
	}
	go func() { end(c.read(idle, allowed, deliver)) }()
	go func() {
		if err := c.write(); err != nil {
			end(err)
		}
	}()
	return c
}

func (c *conn) read(idle time.Duration, allowed []codec.FrameType, deliver func(frame)) error {
	r := bufio.NewReaderSize(c.stream, connBuffer)
	release := func() { <-c.tokens }
	for {
		if idle > 0 {
			if err := c.stream.SetReadDeadline(time.Now().Add(idle)); err != nil {
				return err
			}
		}
		kind, body, err := codec.ReadFrame(r, nil, allowed...)
		if err != nil {
			return err
		}
		select {
		case c.tokens <- struct{}{}:
		case <-c.stopped:
			return errConnDone
		}
		deliver(frame{kind: kind, body: body, done: release})
	}
}

func (c *conn) write() error {
	w := bufio.NewWriterSize(c.stream, 64<<10)
	for {
		select {
		case o := <-c.out:
			if err := c.writeOne(w, o); err != nil {
				return err
			}
		case <-c.stopped:
			return nil
		}
	}
}

func (c *conn) writeOne(w *bufio.Writer, o outgoing) error {
	if err := c.stream.SetWriteDeadline(time.Now().Add(connWriteTimeout)); err != nil {
		return err
	}
	if err := c.put(w, o); err != nil {
		return err
	}
	if len(c.out) == 0 {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if o.written != nil {
		o.written()
	}
	return nil
}

func (c *conn) put(w *bufio.Writer, o outgoing) error {
	b := &o.block
	if b.data == nil {
		_, err := w.Write(o.frame)
		return err
	}
	if b.zstd {
		short := c.squeezer.compress(b.data)
		if b.zstd = float64(len(short)) < enough*float64(len(b.data)); b.zstd {
			b.data = short
		}
	}
	inner := codec.AppendBlocksHead(nil, b.lease, b.number, b.zstd, len(b.data))
	head := codec.AppendFrameHead(make([]byte, 0, codec.FrameHead+len(inner)), codec.TypeBlocks, len(inner)+len(b.data))
	if _, err := w.Write(append(head, inner...)); err != nil {
		return err
	}
	_, err := w.Write(b.data)
	return err
}

// send queues a message. A peer that does not read is cut off.
func (c *conn) send(m codec.Message) error { return c.sendThen(m, nil) }

// sendThen is send; written is called once m is handed to the stream.
func (c *conn) sendThen(m codec.Message, written func()) error {
	frame, err := codec.AppendFrame(nil, m)
	if err != nil {
		return err
	}
	return c.queue(outgoing{frame: frame, written: written})
}

// sendBlock queues a block; written is called once it is handed to the stream.
func (c *conn) sendBlock(b blockOut, written func()) error {
	return c.queue(outgoing{block: b, written: written})
}

func (c *conn) queue(o outgoing) error {
	select {
	case <-c.stopped:
		return errConnDone
	default:
	}
	select {
	case c.out <- o:
		return nil
	default:
		c.close()
		return errQueueFull
	}
}

// close resets the stream; both goroutines end.
func (c *conn) close() {
	c.once.Do(func() {
		close(c.stopped)
		_ = c.stream.Reset() // nothing can be done about a stream that will not reset
	})
}
