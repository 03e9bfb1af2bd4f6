package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// specVariable holds the spec of a process that a row started. Without it the
// program is the one that measures.
const specVariable = "LOGMESH_PEERS_SPEC"

// The roles of a row's processes.
const (
	serving   = "serving"   // has the log, and gives it
	following = "following" // has nothing, and wants it
)

// spec says what a process of a row is.
type spec struct {
	Row   string
	Role  string
	Work  work
	Dir   string        // an empty directory of its own
	Limit time.Duration // a follower that has not all by then stops
}

// A process and the one that measures talk in lines of JSON: it says ready, is
// told to meet, says report, and ends when its input does. A server says its
// report when it hears a second line.
type (
	ready  struct{ Addr string }
	meet   struct{ Addrs []string }
	report struct {
		Applied uint64
		State   uint64        // zero unless all is applied
		First   time.Duration // from Meet to the first command applied; 0: none
		CPU     time.Duration // since Meet
		Peak    int64         // bytes resident at most, since the process began
	}
)

// member is one side of a row, in a process of its own.
type member interface {
	// Addr is where the others find it.
	Addr() string
	// Meet begins the catch-up: a server is told its follower, a follower all
	// servers. What has to be made before is made already.
	Meet(addrs []string) error
	Close() error
}

// serveSpec is the whole life of a process of a row.
func serveSpec(text string, in io.Reader, out io.Writer) (err error) {
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("%s: %w", specVariable, err)
	}
	open, err := pairNamed(s.Row)
	if err != nil {
		return err
	}
	f := newFold(s.Work.Entries)
	m, err := open(s, f)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()

	lines, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	runtime.GC() // what the making left is not for the catch-up to clear
	if err := answers.Encode(ready{m.Addr()}); err != nil {
		return err
	}
	var all meet
	if err := lines.Decode(&all); err != nil {
		return fmt.Errorf("waiting to begin: %w", err)
	}
	before, begun := usage(), time.Now()
	if err := m.Meet(all.Addrs); err != nil {
		return fmt.Errorf("meet %s: %w", strings.Join(all.Addrs, ", "), err)
	}
	r := report{}
	if s.Role == following {
		if r, err = f.await(s.Limit); err != nil {
			return err
		}
	} else if err := lines.Decode(&meet{}); err != nil {
		return fmt.Errorf("waiting for the end: %w", err)
	}
	if first := f.first.Load(); first != nil {
		r.First = first.Sub(begun)
	}
	now := usage()
	r.CPU, r.Peak = processor(now)-processor(before), now.Maxrss<<10 // Linux counts in KiB
	if err := answers.Encode(r); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// await waits until all is applied, or limit is over.
func (f *fold) await(limit time.Duration) (report, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-f.done:
		return report{Applied: f.want, State: f.state}, nil
	case <-timer.C:
		return report{Applied: f.applied.Load()}, nil
	case err := <-f.failed:
		return report{}, err
	}
}

// usage is what this process has used so far.
func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("getrusage: " + err.Error()) // it fails on bad arguments only
	}
	return u
}

// processor is the time of it, in user and system mode.
func processor(u syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
