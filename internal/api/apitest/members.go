package apitest

import (
	"context"
	"slices"
	"sync"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

// Members is an api.Membership that does what it is asked, without a group.
type Members struct {
	mu   sync.Mutex
	now  logmesh.Membership
	Left bool  // Leave was called
	Fail error // if set, what every change fails with
}

// Set makes m the membership.
func (f *Members) Set(m logmesh.Membership) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = m
}

// Members is the membership.
func (f *Members) Members() logmesh.Membership {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *Members) change(do func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fail == nil {
		f.now.Index++
		f.now.Members = slices.Clone(f.now.Members)
		do()
	}
	return f.Fail
}

func (f *Members) become(id codec.RaftID, role codec.Role) {
	for i := range f.now.Members {
		if f.now.Members[i].RaftID == id {
			f.now.Members[i].Role = role
		}
	}
}

// Remove removes a member.
func (f *Members) Remove(_ context.Context, id codec.RaftID) error {
	return f.change(func() {
		f.now.Members = slices.DeleteFunc(f.now.Members, func(m logmesh.MemberStatus) bool { return m.RaftID == id })
	})
}

// Promote changes roles.
func (f *Members) Promote(_ context.Context, id, instead codec.RaftID) error {
	return f.change(func() {
		f.become(id, codec.RoleVoter)
		f.become(instead, codec.RoleStandby)
	})
}

// Transfer makes a member the leader.
func (f *Members) Transfer(_ context.Context, id codec.RaftID) error {
	return f.change(func() {
		for i := range f.now.Members {
			m := &f.now.Members[i]
			if m.Leader = m.RaftID == id; m.Leader {
				f.now.Leader = m.Peer
			}
		}
	})
}

// SetVoters changes the target.
func (f *Members) SetVoters(_ context.Context, voters int) error {
	return f.change(func() { f.now.Target = voters })
}

// Leave notes that it was called.
func (f *Members) Leave(context.Context) error { return f.change(func() { f.Left = true }) }
