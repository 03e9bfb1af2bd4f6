package main

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/logmesh/logmesh/p2p"
)

// frameLimit bounds a frame's body, in bytes.
const frameLimit = 256 << 20

// frameHead is a frame's length in front of it: 4 bytes, big endian.
const frameHead = 4

// beginFrame makes room for the head in buf, which is used again.
func beginFrame(buf []byte) []byte { return append(buf[:0], 0, 0, 0, 0) }

// writeFrame fills in the head and writes all.
func writeFrame(out io.Writer, frame []byte) error {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-frameHead))
	_, err := out.Write(frame)
	return err
}

// frameReader reads frames, buffered as logmesh's streams are.
type frameReader struct {
	in  *bufio.Reader
	buf []byte
}

func newFrameReader(in io.Reader) *frameReader {
	return &frameReader{in: bufio.NewReaderSize(in, 64<<10)}
}

// next is the body of the next frame, valid until the call after it.
func (r *frameReader) next() ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > frameLimit {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	if int(n) > cap(r.buf) {
		r.buf = make([]byte, n)
	}
	_, err := io.ReadFull(r.in, r.buf[:n])
	return r.buf[:n], err
}

// newHost is a libp2p host as logmesh's nodes have, on loopback TCP, and its
// address.
func newHost(serve func(p2p.Stream)) (*p2p.Bare, string, error) {
	seed := make([]byte, p2p.SeedSize)
	_, _ = rand.Read(seed) // never fails
	host, err := p2p.NewBare(seed, serve)
	if err != nil {
		return nil, "", err
	}
	addr, err := host.Addr()
	return host, addr, err
}
