package logmesh

import (
	"context"
	"fmt"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Condition is something that Wait waits for.
type Condition func(Status) bool

// Online: the node is a member that has caught up and follows a leader.
func Online(s Status) bool { return s.Phase == PhaseOnline && s.Leader != "" }

// HasLeader: a leader is known.
func HasLeader(s Status) bool { return s.Leader != "" }

// Applied: this node has applied index i.
func Applied(i codec.Index) Condition {
	return func(s Status) bool { return s.Applied >= i }
}

// Members: the group has n members, and this node is one of them.
func Members(n int) Condition {
	return func(s Status) bool { return len(s.Members) >= n && s.Phase == PhaseOnline }
}

// waitEvery is how often a condition is looked at.
const waitEvery = 20 * time.Millisecond

// Wait returns when until holds, with the status in which it did. It fails when
// ctx ends, saying where the node stands, and when the group stops.
func (g *Group) Wait(ctx context.Context, until Condition) (Status, error) {
	tick := time.NewTicker(waitEvery)
	defer tick.Stop()
	for {
		s := g.Status()
		if until(s) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("still %s after waiting: %w", s.Phase, ctx.Err())
		case <-g.done:
			if err := g.Err(); err != nil {
				return s, err
			}
			return s, ErrClosed
		case <-tick.C:
		}
	}
}
