package main

import (
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/p2p"
)

// etcdNode runs the library's RawNode: one goroutine owns it and its storage,
// another applies.
type etcdNode struct {
	// set once
	leads   bool
	host    *p2p.Bare
	addr    string
	fold    *fold
	storage etcdStorage
	inbox   chan *raftpb.Message
	outbox  chan *raftpb.Message // room for all that may be in flight: step never waits
	commits chan []*raftpb.Entry
	meet    chan struct{} // closed when the leader may take in the follower
	led     chan struct{} // closed when the leader has committed in its own term
	stop    chan struct{}
	loops   sync.WaitGroup

	// owned by run
	node *raft.RawNode
}

func newEtcdNode(e etcd, s spec, f *fold) *etcdNode {
	n := &etcdNode{
		leads: s.Role == serving, fold: f, storage: etcdStorage{raft.NewMemoryStorage()},
		inbox: make(chan *raftpb.Message, 64), outbox: make(chan *raftpb.Message, e.inflight+64),
		commits: make(chan []*raftpb.Entry, 16),
		meet:    make(chan struct{}), led: make(chan struct{}), stop: make(chan struct{}),
	}
	if n.leads {
		n.fold = never()
	}
	return n
}

// begin starts the goroutines. A leader has committed when it returns.
func (n *etcdNode) begin() error {
	if n.leads {
		if err := n.node.Campaign(); err != nil {
			return err
		}
	}
	n.loops.Go(n.run)
	n.loops.Go(n.apply)
	if n.leads {
		<-n.led
	}
	return nil
}

func (n *etcdNode) run() {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	meet := n.meet
	for {
		if err := n.step(); err != nil {
			n.fold.fail(err)
			return
		}
		select {
		case <-ticker.C:
			n.node.Tick()
		case m := <-n.inbox:
			n.receive(m)
		case <-meet:
			meet = nil
			if err := n.node.ProposeConfChange(learner()); err != nil {
				n.fold.fail(err)
			}
		case <-n.stop:
			return
		}
	}
}

// receive steps m and what has come behind it. What Step refuses, it ignores:
// the library sends again.
func (n *etcdNode) receive(m *raftpb.Message) {
	_ = n.node.Step(m)
	for {
		select {
		case m := <-n.inbox:
			_ = n.node.Step(m)
		default:
			return
		}
	}
}

// step does what the node has ready.
func (n *etcdNode) step() error {
	for n.node.HasReady() {
		rd := n.node.Ready()
		if !raft.IsEmptyHardState(rd.HardState) {
			if err := n.storage.SetHardState(rd.HardState); err != nil {
				return err
			}
		}
		if err := n.storage.Append(rd.Entries); err != nil {
			return err
		}
		n.send(rd.Messages)
		if err := n.commit(rd.CommittedEntries); err != nil {
			return err
		}
		n.node.Advance(rd)
	}
	return nil
}

func (n *etcdNode) send(messages []*raftpb.Message) {
	for _, m := range messages {
		select {
		case n.outbox <- m:
		default: // nobody is connected
		}
	}
}

// commit applies configurations here, and hands the rest on.
func (n *etcdNode) commit(entries []*raftpb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		if e.GetType() != raftpb.EntryConfChange {
			continue
		}
		change := &raftpb.ConfChange{}
		if err := proto.Unmarshal(e.GetData(), change); err != nil {
			return err
		}
		n.node.ApplyConfChange(change)
	}
	select {
	case n.commits <- entries:
	case <-n.stop:
	}
	return nil
}

// apply folds what is committed. A leader's first is the empty entry of its term.
func (n *etcdNode) apply() {
	led := n.led
	for {
		select {
		case entries := <-n.commits:
			for _, e := range entries {
				if e.GetType() == raftpb.EntryNormal && len(e.GetData()) > 0 {
					n.fold.apply(e.GetData())
				}
			}
			if led != nil {
				close(led)
				led = nil
			}
		case <-n.stop:
			return
		}
	}
}
