package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// dataDir is a node's directory, held by a lock while the node runs.
type dataDir struct {
	path string
	lock *flock.Flock
}

// openDir makes and locks a data directory, and takes away what an earlier run
// left there that says it is ready.
func openDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, hinted(fmt.Errorf("the data directory: %w", err), "name another with --data DIR")
	}
	d := &dataDir{path: path, lock: flock.New(filepath.Join(path, lockFileName), flock.SetPermissions(0o600))}
	locked, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		return nil, d.inUse()
	}
	if err := d.unready(); err != nil {
		return nil, errors.Join(err, d.lock.Unlock())
	}
	return d, nil
}

func (d *dataDir) inUse() error {
	who := "another process"
	if f, err := readNodeFile(d.path); err == nil {
		who = fmt.Sprintf("process %d", f.PID)
	}
	return hinted(fmt.Errorf("the data directory %s is in use by %s", d.path, who), "stop that node, or give this one a directory of its own with --data DIR")
}

func (d *dataDir) close() {
	_ = d.unready()     // a stale file is taken away by the next start
	_ = d.lock.Unlock() // the end of the process unlocks it too
}

func (d *dataDir) unready() error {
	err := os.Remove(filepath.Join(d.path, nodeFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ready says in node.json how the node is reached, and keeps its addresses for
// the next start.
func (d *dataDir) ready(f nodeFile) error {
	var listen strings.Builder
	for _, addr := range f.Addrs {
		where, _, _ := strings.Cut(addr, "/p2p/")
		listen.WriteString(where + "\n")
	}
	if err := writeWhole(filepath.Join(d.path, listenFileName), []byte(listen.String())); err != nil {
		return err
	}
	return writeNodeFile(d.path, f)
}

// holdsGroup reports whether the node took part in a group before.
func (d *dataDir) holdsGroup() bool {
	entries, err := os.ReadDir(filepath.Join(d.path, groupsDir))
	return err == nil && len(entries) > 0
}

// lastListen is the loopback addresses of the start before, if all are free:
// members find a node best where it was. Otherwise it is nothing, and the node
// takes any free ports.
func (d *dataDir) lastListen() (addrs []string) {
	data, err := os.ReadFile(filepath.Join(d.path, listenFileName))
	if err != nil {
		return nil
	}
	for addr := range strings.Lines(string(data)) {
		addr = strings.TrimSpace(addr)
		if !strings.HasPrefix(addr, "/ip4/127.0.0.1/") || !free(addr) {
			return nil
		}
		addrs = append(addrs, addr)
	}
	return addrs
}

// free reports whether the port of /ip4/IP/tcp/PORT or /ip4/IP/udp/PORT/… can be
// bound now.
func free(addr string) bool {
	parts := strings.Split(addr, "/")
	if len(parts) < 5 {
		return false
	}
	at := net.JoinHostPort(parts[2], parts[4])
	switch parts[3] {
	case "tcp":
		l, err := net.Listen("tcp", at)
		return err == nil && l.Close() == nil
	case "udp":
		c, err := net.ListenPacket("udp", at)
		return err == nil && c.Close() == nil
	}
	return false
}
