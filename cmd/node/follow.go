package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/api"
)

// follower tells on standard error what a node that starts is doing, until its
// group is usable and again whenever it is not.
type follower struct {
	app   *app
	now   string    // the state that was seen last
	since time.Time // when it was seen first
	said  string    // the state that was told last
	moved time.Time // when progress was told last
}

const (
	followEvery   = 250 * time.Millisecond
	steady        = time.Second // how long a state lasts before it is told, unless it is a good one
	progressEvery = 5 * time.Second
)

// follow runs until ctx ends.
func (a *app) follow(ctx context.Context, status func() logmesh.Status) {
	f := follower{app: a}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		f.see(status(), time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// see tells a state once, and progress now and then.
func (f *follower) see(st logmesh.Status, now time.Time) {
	state, progress := state(st)
	if state != f.now {
		f.now, f.since = state, now
	}
	switch {
	case state != f.said && (api.NotReady(st) == "" || now.Sub(f.since) >= steady):
		f.app.say("%s", state)
		f.said, f.moved = state, now
		if strings.Contains(state, "key differs") {
			f.app.say("  is it the key file of this group? compare it with the other members'")
		}
		if strings.HasPrefix(state, "no quorum") {
			f.app.say("  local reads go on; if a majority is lost for good, see docs/recovery.md")
		}
	case state == f.said && progress != "" && now.Sub(f.moved) >= progressEvery:
		f.app.say("  %s", progress)
		f.moved = now
	}
}

// state is what a node does, and how far it is.
func state(st logmesh.Status) (state, progress string) {
	switch {
	case st.Phase == logmesh.PhaseCatchingUp && st.Sync != nil:
		return "catching up", syncLine(*st.Sync)
	case st.Phase == logmesh.PhaseReplaying && st.Replay != nil:
		return "replaying its own log", fmt.Sprintf("%s of %s entries, %s", grouped(uint64(st.Replay.Index)), grouped(uint64(st.Replay.Of)), timeLeft(st.Replay.Left))
	}
	if why := api.NotReady(st); why != "" {
		return why, ""
	}
	if st.Role == "leader" {
		return "online, and leads", ""
	}
	return "online as " + st.Role, ""
}
