package logmesh

import (
	"context"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
)

// Session is a client session that belongs to the caller, not to a node: what is
// written in it is applied once, through whichever members it is sent and however
// often. It is a plain value to keep, to store, and to use on any member of the
// group, at the same time as well.
//
// Execute has a session of its own, which ends with the process. Use a Session
// where a retry may come from another process or go to another member.
//
// The group keeps the 4,096 sessions that were used last; an older one is
// forgotten, and its commands then fail with ErrSessionExpired.
type Session struct {
	ID codec.SessionID
}

// Slot is a command's place in a session.
type Slot struct {
	// Seq is the command's number in the session, from 1 on. Another try of the
	// same command has the same number, and no other command has it: what is sent
	// under a number that was applied is not looked at.
	Seq uint64
	// Low is the lowest number to which the caller may still want the result. The
	// group forgets the results below it. 0 means 1. Seq is at most 1,024 above it.
	// Who writes one command after the other sets it to Seq.
	Low uint64
}

// OpenSession opens a session. When it fails, no harm is done: open another.
func (g *Group) OpenSession(ctx context.Context) (Session, error) {
	call, err := g.actors.BeginSession()
	if err != nil {
		return Session{}, g.why(err)
	}
	r, err := g.await(ctx, call)
	return Session{ID: codec.SessionID(r.Index)}, err
}

// ExecuteIn writes a command in a place of a session, as Execute does in a session
// of the node. If it was applied before, sent by anybody, that result is returned.
//
// After an *UnknownOutcomeError ask for the same command in the same place again,
// here or on another member, until the answer is known. Only when it wraps
// ErrSessionExpired or ErrAnswered will it stay unknown.
func (g *Group) ExecuteIn(ctx context.Context, s Session, at Slot, command []byte) (Result, error) {
	call, err := g.actors.BeginIn(actors.Slot{Session: s.ID, Seq: at.Seq, Low: max(at.Low, 1)}, command)
	if err != nil {
		return Result{}, g.why(err)
	}
	return g.await(ctx, call)
}
