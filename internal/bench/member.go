package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

const partMember = "member"

// member is a voter that holds the log from the beginning.
type member struct {
	log    *slog.Logger
	place  place
	node   *logmesh.Node
	ledger *ledger.Ledger // until it starts
	group  *logmesh.Group
	writes *writes
	stop   func() error // its profile
}

func newMember(log *slog.Logger) *part {
	m := &member{log: log}
	return &part{
		verbs: map[string]verb{
			"open": on(m.open), "write": on(m.write), "start": on(m.start),
			"leader": on(m.leader), "cpu": on(cpuSeconds), "profile": on(m.profile),
			"writes": on(m.beginWrites), "took": on(m.took),
			"vote": on(m.vote), "ready": on(m.ready), "warm": on(m.warm), "load": on(m.load),
		},
		close: m.close,
	}
}

// open makes the node and, unless the group is made otherwise, its empty ledger.
func (m *member) open(ctx context.Context, p place) (voter, error) {
	m.place = p
	cfg := p.nodeConfig()
	cfg.Logger = m.log
	var err error
	if m.node, err = logmesh.Open(ctx, cfg); err != nil {
		return voter{}, err
	}
	if m.ledger, err = ledger.Open(p.ledgerOptions(m.node.ID())); err != nil {
		return voter{}, err
	}
	return voter{Peer: m.node.ID(), RaftID: m.ledger.RaftID(), Addrs: bare(m.node.Addrs())}, nil
}

// bare is multiaddrs without /p2p.
func bare(addrs []string) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i], _, _ = strings.Cut(a, "/p2p/")
	}
	return out
}

// written is a log as a ledger has it.
type written struct {
	Head  codec.Head
	Bytes int64 // of all blocks
}

// write makes the log and puts it into the ledger, as if the member had been there
// when it was decided.
func (m *member) write(_ context.Context, spec logSpec) (written, error) {
	bytes, err := writeLog(spec, m.ledger.Release)
	if err != nil {
		return written{}, err
	}
	if _, err := m.ledger.AdoptHead(); err != nil {
		return written{}, err
	}
	w := written{Head: m.ledger.Head(), Bytes: bytes}
	err = m.ledger.Close()
	m.ledger = nil
	return w, err
}

// start makes the node a member at work, and returns when it follows a leader and has
// applied the log, which then are its addresses.
func (m *member) start(ctx context.Context, args struct {
	Machine string
	Last    codec.Index
},
) ([]string, error) {
	if err := m.joinGroup(ctx, args.Machine, m.place.groupConfig()); err != nil {
		return nil, err
	}
	_, err := m.group.Wait(ctx, func(s logmesh.Status) bool {
		return logmesh.Online(s) && s.Applied >= args.Last
	})
	return m.node.Addrs(), err
}

func (m *member) joinGroup(ctx context.Context, machine string, cfg logmesh.GroupConfig) error {
	machineOf, err := newMachine(machine)
	if err != nil {
		return err
	}
	m.writes = newWrites(machine)
	m.group, err = m.node.Join(ctx, cfg, machineOf)
	return err
}

// leader reports whether this member leads.
func (m *member) leader(context.Context, none) (bool, error) {
	return m.group.Status().Leader == m.node.ID(), nil
}

func cpuSeconds(context.Context, none) (float64, error) { return cpuTime().Seconds(), nil }

// profile begins a CPU profile, or ends it if path is empty.
func (m *member) profile(_ context.Context, path string) (none, error) {
	var err error
	if m.stop != nil {
		err = m.stop()
		m.stop = nil
	}
	if path != "" && err == nil {
		m.stop, err = profileTo(path)
	}
	return none{}, err
}

// beginWrites begins to write so many times a second.
func (m *member) beginWrites(_ context.Context, perSecond float64) (none, error) {
	return none{}, m.writes.begin(m.group, perSecond)
}

// took is how long each write took, in seconds, since the last time that this was
// asked, or since the begin. With last no write is begun any more.
func (m *member) took(ctx context.Context, last bool) ([]float64, error) {
	if !last {
		return m.writes.take(), nil
	}
	return m.writes.end(ctx)
}

func (m *member) close() error {
	var errs []error
	if m.writes != nil {
		m.writes.stop()
	}
	if m.stop != nil {
		errs = append(errs, m.stop())
	}
	if m.ledger != nil {
		errs = append(errs, m.ledger.Close())
	}
	if m.node != nil {
		errs = append(errs, m.node.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
