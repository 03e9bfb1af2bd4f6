package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/logmesh/logmesh/p2p"
)

// The fixed scheduler: equal ranges, one request in flight for each peer, a
// deadline for each, and everything applied when everything is there.
const (
	fixedRange    = 2000 // entries of a request
	fixedDeadline = 25 * time.Second
)

// span is a range of indexes, both ends included.
type span struct{ first, last uint64 }

// A request is first and last, 8 bytes each; first 0 asks which entries there
// are. The answer to that is a span; to others, each entry's term, length and
// bytes.

func appendSpan(dst []byte, s span) []byte {
	dst = binary.BigEndian.AppendUint64(dst, s.first)
	return binary.BigEndian.AppendUint64(dst, s.last)
}

func spanOf(body []byte) (span, error) {
	if len(body) != 16 {
		return span{}, fmt.Errorf("a range of %d bytes", len(body))
	}
	return span{binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:])}, nil
}

func openFixed(s spec, f *fold) (member, error) {
	if s.Role == serving {
		return newFixedServer(s.Work)
	}
	host, addr, err := newHost(nil)
	return &fixedFollower{host: host, addr: addr, fold: f}, err
}

// fixedServer holds the log in memory.
type fixedServer struct {
	host *p2p.Bare
	addr string
	log  [][]byte // entry i at i-1, all of term 1
}

func newFixedServer(w work) (*fixedServer, error) {
	n := &fixedServer{}
	err := w.batches(func(_ uint64, commands [][]byte) error {
		n.log = append(n.log, commands...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	n.host, n.addr, err = newHost(n.serve)
	return n, err
}

// serve answers one peer until it closes the stream.
func (n *fixedServer) serve(s p2p.Stream) {
	requests := newFrameReader(s)
	var answer []byte
	for {
		body, err := requests.next()
		if err != nil {
			return // it has all, or is gone
		}
		asked, err := spanOf(body)
		if err != nil || asked.last > uint64(len(n.log)) {
			_ = s.Reset()
			return
		}
		answer = n.answer(beginFrame(answer), asked)
		if err := writeFrame(s, answer); err != nil {
			return
		}
	}
}

func (n *fixedServer) answer(dst []byte, asked span) []byte {
	if asked.first == 0 {
		return appendSpan(dst, span{1, uint64(len(n.log))})
	}
	for _, command := range n.log[asked.first-1 : asked.last] {
		dst = binary.AppendUvarint(dst, 1) // term
		dst = binary.AppendUvarint(dst, uint64(len(command)))
		dst = append(dst, command...)
	}
	return dst
}

func (n *fixedServer) Addr() string        { return n.addr }
func (n *fixedServer) Meet([]string) error { return nil }
func (n *fixedServer) Close() error        { return n.host.Close() }

// fixedFollower takes the log from all servers, and applies it.
type fixedFollower struct {
	host *p2p.Bare
	addr string
	fold *fold
}

func (n *fixedFollower) Addr() string { return n.addr }
func (n *fixedFollower) Close() error { return n.host.Close() }

// Meet asks each server what it has; they have the same. Then each works on the
// ranges that are left.
func (n *fixedFollower) Meet(addrs []string) error {
	var peers []*fixedPeer
	var has span
	for _, addr := range addrs {
		s, err := n.host.Open(context.Background(), addr)
		if err != nil {
			return err
		}
		p := &fixedPeer{stream: s, answers: newFrameReader(s)}
		body, err := p.ask(span{})
		if err != nil {
			return err
		}
		if has, err = spanOf(body); err != nil {
			return err
		}
		peers = append(peers, p)
	}
	go n.fetch(peers, has)
	return nil
}

// fetch gets all ranges, then applies.
func (n *fixedFollower) fetch(peers []*fixedPeer, has span) {
	ranges := (has.last + fixedRange - 1) / fixedRange
	left := make(chan uint64, ranges)
	for i := range ranges {
		left <- i
	}
	close(left)
	got := make([][][]byte, ranges)
	ended := make(chan error)
	for _, p := range peers {
		go func() { ended <- p.work(left, got, has.last) }()
	}
	var err error
	for range peers {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		n.fold.fail(err)
		return
	}
	for _, commands := range got {
		for _, c := range commands {
			n.fold.apply(c)
		}
	}
}

// fixedPeer is a server as the follower sees it.
type fixedPeer struct {
	stream  p2p.Stream
	answers *frameReader
	request []byte
}

// work fetches ranges until none is left. Here no peer fails: a range whose
// deadline passes ends the run.
func (p *fixedPeer) work(left <-chan uint64, got [][][]byte, last uint64) error {
	for i := range left {
		s := span{i*fixedRange + 1, min((i+1)*fixedRange, last)}
		body, err := p.ask(s)
		if err != nil {
			return fmt.Errorf("entries %d to %d: %w", s.first, s.last, err)
		}
		if got[i], err = splitEntries(body, s); err != nil {
			return err
		}
	}
	return p.stream.Close()
}

func (p *fixedPeer) ask(s span) ([]byte, error) {
	p.request = appendSpan(beginFrame(p.request), s)
	if err := p.stream.SetReadDeadline(time.Now().Add(fixedDeadline)); err != nil {
		return nil, err
	}
	if err := writeFrame(p.stream, p.request); err != nil {
		return nil, err
	}
	return p.answers.next()
}

// splitEntries copies the entries of s out of an answer.
func splitEntries(body []byte, s span) ([][]byte, error) {
	body = append([]byte(nil), body...)
	commands := make([][]byte, 0, s.last-s.first+1)
	for range cap(commands) {
		_, k := binary.Uvarint(body) // term
		size, n := binary.Uvarint(body[max(k, 0):])
		if k <= 0 || n <= 0 || size > uint64(len(body)-k-n) {
			return nil, fmt.Errorf("the answer for entries %d to %d is cut off", s.first, s.last)
		}
		end := k + n + int(size)
		commands, body = append(commands, body[k+n:end]), body[end:]
	}
	return commands, nil
}
