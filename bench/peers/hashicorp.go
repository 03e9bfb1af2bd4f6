package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// hashicorp is a setting of hashicorp/raft.
type hashicorp struct {
	maxAppend int  // MaxAppendEntries
	durable   bool // raft-boltdb that syncs, behind the library's own cache
}

// The two nodes' ids.
const (
	hcLeader   = raft.ServerID("leader")
	hcFollower = raft.ServerID("follower")
)

// hcTimeout bounds a call between the two and what the leader decides alone.
const hcTimeout = time.Minute

// open makes a node that listens on loopback TCP. A leader has elected itself
// and applied its whole log.
func (h hashicorp) open(s spec, f *fold) (member, error) {
	transport, err := raft.NewTCPTransportWithConfig("127.0.0.1:0", nil, &raft.NetworkTransportConfig{
		MaxPool: 3, Timeout: hcTimeout, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		return nil, err
	}
	return h.node(s, f, transport)
}

// openBoth makes both in this process, joined by the library's transport in
// memory.
func (h hashicorp) openBoth(s spec, f *fold) (member, error) {
	_, there := raft.NewInmemTransportWithTimeout("leader", hcTimeout)
	_, here := raft.NewInmemTransportWithTimeout("follower", hcTimeout)
	there.Connect(here.LocalAddr(), here)
	here.Connect(there.LocalAddr(), there)
	l, err := h.node(spec{Role: serving, Work: s.Work, Dir: s.Dir}, f, there)
	if err != nil {
		return nil, err
	}
	o, err := h.node(s, f, here)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &hcBoth{leader: l, follower: o}, nil
}

func (h hashicorp) node(s spec, f *fold, transport raft.Transport) (*hcNode, error) {
	n := &hcNode{transport: transport, leads: s.Role == serving}
	store, err := h.store(s, n)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	config := h.config(hcFollower)
	var machine raft.FSM = &hcMachine{f}
	if n.leads {
		config, machine = h.config(hcLeader), &hcMachine{never()}
		if err := hcFound(config, store, transport, s.Work); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	logs := raft.LogStore(store)
	if h.durable { // as the library advises for a store on disk
		if logs, err = raft.NewLogCache(2*h.maxAppend, store); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	n.raft, err = raft.NewRaft(config, machine, logs, store, raft.NewDiscardSnapshotStore(), transport)
	if err == nil && n.leads {
		err = n.lead()
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// config is the library's default but for what the comparison is about: no
// snapshots, no log lines, and the batch size.
func (h hashicorp) config(id raft.ServerID) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = id
	c.Logger = hclog.NewNullLogger()
	c.MaxAppendEntries = h.maxAppend
	c.SnapshotInterval = 24 * time.Hour
	c.SnapshotThreshold = math.MaxUint64
	c.NoLegacyTelemetry = true
	return c
}

// hcStore is where a node keeps its log and its vote.
type hcStore interface {
	raft.LogStore
	raft.StableStore
}

func (h hashicorp) store(s spec, n *hcNode) (hcStore, error) {
	if !h.durable {
		return raft.NewInmemStore(), nil
	}
	store, err := raftboltdb.New(raftboltdb.Options{
		Path:        filepath.Join(s.Dir, "raft.db"),
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
		NoSync:      n.leads, // it is filled, then synced once; nothing is written to it later
	})
	if err != nil {
		return nil, err
	}
	n.store = store
	return store, nil
}

// hcFound makes the leader's log: the configuration, then the work.
func hcFound(config *raft.Config, store hcStore, transport raft.Transport, w work) error {
	alone := raft.Configuration{Servers: []raft.Server{{ID: hcLeader, Address: transport.LocalAddr()}}}
	if err := raft.BootstrapCluster(config, store, store, raft.NewDiscardSnapshotStore(), transport, alone); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return w.batches(func(from uint64, commands [][]byte) error {
		logs := make([]*raft.Log, len(commands))
		for i, command := range commands {
			logs[i] = &raft.Log{Index: from + uint64(i) + 1, Term: 1, Type: raft.LogCommand, Data: command}
		}
		return store.StoreLogs(logs)
	})
}

// hcNode is one node.
type hcNode struct {
	transport raft.Transport
	store     *raftboltdb.BoltStore // nil: in memory
	raft      *raft.Raft
	leads     bool
}

// lead waits until the node leads and has applied what it holds.
func (n *hcNode) lead() error {
	for !<-n.raft.LeaderCh() {
	}
	if n.store != nil {
		if err := n.store.Sync(); err != nil {
			return err
		}
	}
	return n.raft.Barrier(hcTimeout).Error()
}

func (n *hcNode) Addr() string { return string(n.transport.LocalAddr()) }

// Meet: the leader takes the follower in, as one that does not vote.
func (n *hcNode) Meet(addrs []string) error {
	if !n.leads {
		return nil
	}
	return n.raft.AddNonvoter(hcFollower, raft.ServerAddress(addrs[0]), 0, hcTimeout).Error()
}

func (n *hcNode) Close() error {
	var errs []error
	if n.raft != nil {
		errs = append(errs, n.raft.Shutdown().Error())
	}
	if c, ok := n.transport.(io.Closer); ok {
		errs = append(errs, c.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// hcBoth is a follower with its leader beside it.
type hcBoth struct{ leader, follower *hcNode }

func (b *hcBoth) Addr() string { return b.follower.Addr() }

func (b *hcBoth) Meet([]string) error { return b.leader.Meet([]string{b.follower.Addr()}) }

func (b *hcBoth) Close() error { return errors.Join(b.leader.Close(), b.follower.Close()) }

// hcMachine gives a node's commands to a fold, in the batches that the library
// makes for machines that take them.
type hcMachine struct{ fold *fold }

func (m *hcMachine) Apply(l *raft.Log) any {
	if l.Type == raft.LogCommand {
		m.fold.apply(l.Data)
	}
	return nil
}

func (m *hcMachine) ApplyBatch(logs []*raft.Log) []any {
	for _, l := range logs {
		m.Apply(l)
	}
	return make([]any, len(logs))
}

var errNoSnapshots = errors.New("this comparison has no snapshots")

func (*hcMachine) Snapshot() (raft.FSMSnapshot, error) { return nil, errNoSnapshots }

func (*hcMachine) Restore(io.ReadCloser) error { return errNoSnapshots }
