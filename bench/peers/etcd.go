package main

import (
	"context"
	"io"
	"log"
	"math"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/p2p"
)

// etcd is a setting of go.etcd.io/raft that ships the log by itself, by MsgApp.
type etcd struct {
	maxSize  uint64 // MaxSizePerMsg, in bytes
	inflight int    // MaxInflightMsgs
}

// The two nodes' ids.
const (
	etcdLeader   = 1
	etcdFollower = 2
)

// open makes a node. A leader has elected itself and committed its whole log.
func (e etcd) open(s spec, f *fold) (member, error) {
	n := newEtcdNode(e, s, f)
	config := &raft.Config{
		ID: etcdFollower, ElectionTick: 10, HeartbeatTick: 1, Storage: n.storage,
		MaxSizePerMsg: e.maxSize, MaxInflightMsgs: e.inflight,
		Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
	}
	if n.leads {
		if err := n.storage.found(s.Work); err != nil {
			return nil, err
		}
		config.ID, config.Applied = etcdLeader, s.Work.Entries
	}
	var err error
	if n.node, err = raft.NewRawNode(config); err != nil {
		return nil, err
	}
	if n.host, n.addr, err = newHost(n.connect); err != nil {
		return nil, err
	}
	if err := n.begin(); err != nil {
		return nil, err
	}
	return n, nil
}

// etcdStorage is the library's, with the leader alone as first configuration:
// the library's own gets one by a snapshot only, and there are none here.
type etcdStorage struct{ *raft.MemoryStorage }

func (s etcdStorage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	hard, _, err := s.MemoryStorage.InitialState()
	return hard, &raftpb.ConfState{Voters: []uint64{etcdLeader}}, err
}

// found writes the leader's log.
func (s etcdStorage) found(w work) error {
	err := s.SetHardState(&raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(etcdLeader)), Commit: new(w.Entries)})
	if err != nil {
		return err
	}
	return w.batches(func(from uint64, commands [][]byte) error {
		entries := make([]*raftpb.Entry, len(commands))
		for i, command := range commands {
			entries[i] = &raftpb.Entry{
				Term: new(uint64(1)), Index: new(from + uint64(i)),
				Type: raftpb.EntryNormal.Enum(), Data: command,
			}
		}
		return s.Append(entries)
	})
}

// learner is the change by which the leader takes the follower in.
func learner() *raftpb.ConfChange {
	return &raftpb.ConfChange{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(etcdFollower))}
}

// connect carries messages over one stream, in both directions, until it ends.
// Marshalling and parsing have goroutines of their own.
func (n *etcdNode) connect(s p2p.Stream) {
	go n.write(s)
	in := newFrameReader(s)
	for {
		body, err := in.next()
		if err != nil {
			return // closed by the other side, which says why if it should not
		}
		m := &raftpb.Message{}
		if err := proto.Unmarshal(body, m); err != nil {
			n.fold.fail(err)
			return
		}
		select {
		case n.inbox <- m:
		case <-n.stop:
			return
		}
	}
}

func (n *etcdNode) write(s p2p.Stream) {
	var frame []byte
	for {
		select {
		case m := <-n.outbox:
			var err error
			frame, err = proto.MarshalOptions{}.MarshalAppend(beginFrame(frame), m)
			if err == nil {
				err = writeFrame(s, frame)
			}
			if err != nil {
				n.fold.fail(err)
				return
			}
		case <-n.stop:
			return
		}
	}
}

func (n *etcdNode) Addr() string { return n.addr }

// Meet: the leader connects, and takes the follower in as a learner.
func (n *etcdNode) Meet(addrs []string) error {
	if !n.leads {
		return nil
	}
	s, err := n.host.Open(context.Background(), addrs[0])
	if err != nil {
		return err
	}
	go n.connect(s)
	close(n.meet)
	return nil
}

func (n *etcdNode) Close() error {
	close(n.stop)
	n.loops.Wait()
	return n.host.Close()
}

// never is a fold that is not done.
func never() *fold { return newFold(math.MaxUint64) }
