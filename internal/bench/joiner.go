package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

const partJoiner = "joiner"

// joiner is the empty node that catches up; or, on a directory that one left, a
// node that replays its own log.
type joiner struct {
	log   *slog.Logger
	place place
	node  *logmesh.Node
	group *logmesh.Group
}

func newJoiner(log *slog.Logger) *part {
	j := &joiner{log: log}
	return &part{
		verbs: map[string]verb{"open": on(j.open), "join": on(j.join), "leave": on(j.leave)},
		close: j.close,
	}
}

// open makes the node.
func (j *joiner) open(ctx context.Context, args struct {
	Place place
	Peers []string
},
) (none, error) {
	j.place = args.Place
	cfg := j.place.nodeConfig(args.Peers...)
	cfg.Logger = j.log
	var err error
	j.node, err = logmesh.Open(ctx, cfg)
	return none{}, err
}

// joinArgs says what to wait for.
type joinArgs struct {
	Machine  string
	Last     codec.Index // applied: it is over
	Commands uint64      // at least so many must have reached the machine
	Profile  string      // file; empty: none
	Settle   uint64      // commands after which the rate is steady; 0: not looked at
	Synced   bool        // it takes a catch-up, which is to be told of
}

// joined is how it went.
type joined struct {
	run
	First  float64 // seconds until the first command was applied
	Steady float64 // commands a second after joinArgs.Settle
	Sync   *logmesh.SyncStatus
}

// run is what one process took.
type run struct {
	Seconds float64
	CPU     float64 // seconds of it
	Peak    int64   // bytes resident, since the process began
}

// measure is what do takes of this process.
func measure(profile string, do func() error) (r run, err error) {
	stop, err := profileTo(profile)
	if err != nil {
		return r, err
	}
	cpu, begun := cpuTime(), time.Now()
	err = do()
	r = run{Seconds: time.Since(begun).Seconds(), CPU: (cpuTime() - cpu).Seconds(), Peak: peakRSS()}
	return r, errors.Join(err, stop())
}

// join takes part in the group until the last entry of the log is applied. Applied
// implies durable: blocks go to the machine once they are synced.
func (j *joiner) join(ctx context.Context, args joinArgs) (joined, error) {
	m, err := observe(args.Machine)
	if err != nil {
		return joined{}, err
	}
	m.settle = args.Settle
	var out joined
	var answer logmesh.Answer
	begun, end := time.Now(), time.Time{}
	out.run, err = measure(args.Profile, func() (err error) {
		if j.group, err = j.node.Join(ctx, j.place.groupConfig(), m); err != nil {
			return err
		}
		answer, err = j.group.Query(ctx, nil, logmesh.After(args.Last))
		end = time.Now()
		return err
	})
	if err != nil {
		return out, j.explain(err)
	}
	n := binary.BigEndian.Uint64(answer.Data)
	if n < args.Commands {
		return out, fmt.Errorf("only %d of %d commands reached the machine", n, args.Commands)
	}
	out.First, out.Steady = m.first.Load().at.Sub(begun).Seconds(), m.steady(n, end)
	if args.Synced {
		out.Sync, err = j.session(ctx)
	}
	return out, err
}

// explain adds where the node stands.
func (j *joiner) explain(err error) error {
	if j.group == nil {
		return err
	}
	s := j.group.Status()
	return fmt.Errorf("%w (%s, applied %d of %d; %s)", err, s.Phase, s.Applied, s.Committed, s.Detail)
}

// session is the catch-up, once it has ended.
func (j *joiner) session(ctx context.Context) (*logmesh.SyncStatus, error) {
	s, err := j.group.Wait(ctx, func(s logmesh.Status) bool { return s.LastSync != nil })
	return s.LastSync, err
}

// leave ends the membership, so that the group is as before.
func (j *joiner) leave(ctx context.Context, _ none) (none, error) {
	if _, err := j.group.Wait(ctx, logmesh.Online); err != nil {
		return none{}, err
	}
	return none{}, j.group.Leave(ctx)
}

func (j *joiner) close() error {
	if j.node == nil {
		return nil
	}
	return j.node.Close()
}
