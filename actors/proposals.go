package actors

import (
	"errors"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
)

// proposal is a Propose that waits until consensus has looked at its mailbox: those
// that came together go out together. They do not wait for the disk as well:
// holding them back while the leader syncs was tried, and 16 writers waited 1.6 times
// as long.
type proposal struct {
	commands [][]byte
	reply    chan<- codec.Answer
}

// propose keeps a proposal for the next Ready, unless it can be answered at once.
func (r *raftActor) propose(q *codec.Propose, reply chan<- codec.Answer) {
	for _, c := range q.Commands {
		if _, err := codec.DecodeCommand(c); err != nil {
			reply <- codec.Answer{Status: codec.CallRefused, Reason: err.Error()}
			return
		}
	}
	if r.ledger.Full(r.clock.Now()) {
		reply <- codec.Answer{Status: codec.CallUnavailable, Reason: "the leader's disk is full"}
		return
	}
	r.proposals = append(r.proposals, proposal{q.Commands, reply})
}

// proposeAll proposes what waits, by as few messages to the followers as may be.
func (r *raftActor) proposeAll() {
	waiting := r.proposals
	r.proposals = nil
	for len(waiting) > 0 {
		var commands [][]byte
		n, size := 0, 0
		for ; n < len(waiting) && (n == 0 || size <= consensus.MaxMessage); n++ {
			commands = append(commands, waiting[n].commands...)
			for _, c := range waiting[n].commands {
				size += len(c)
			}
		}
		_, err := r.core.Propose(commands)
		for _, p := range waiting[:n] {
			p.reply <- r.proposed(len(p.commands), err)
		}
		waiting = waiting[n:]
	}
}

func (r *raftActor) proposed(commands int, err error) codec.Answer {
	a := codec.Answer{Status: codec.CallOK, Index: codec.Index(commands)}
	switch {
	case errors.Is(err, consensus.ErrNotLeader):
		a.Status, a.Index = codec.CallNotLeader, 0
	case errors.Is(err, consensus.ErrNoQuorum):
		a.Status, a.Index = codec.CallNoQuorum, 0
	case err != nil:
		a.Status, a.Index, a.Reason = codec.CallRefused, 0, err.Error()
	}
	return r.hint(a)
}
