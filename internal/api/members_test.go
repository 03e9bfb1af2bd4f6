package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
)

func three() logmesh.Membership {
	return logmesh.Membership{Index: 5, Target: 3, Leader: "a", Members: []logmesh.MemberStatus{
		{Peer: "a", RaftID: 1 << 63, Role: codec.RoleVoter, Leader: true, Self: true},
		{Peer: "b", RaftID: 2, Role: codec.RoleVoter, Connected: true, State: "replicate"},
		{Peer: "c", RaftID: 3, Role: codec.RoleStandby, Trails: -1},
	}}
}

// Every change arrives as it was asked for, and is answered with what it made.
func TestMembers(t *testing.T) {
	b := newBench(t)
	b.group.Set(three())
	m, err := b.client.Members(t.Context())
	require.NoError(t, err)
	require.Equal(t, three(), m)
	m, err = b.client.Promote(t.Context(), 3, 2)
	require.NoError(t, err)
	require.Equal(t, codec.RoleVoter, m.Members[2].Role)
	require.Equal(t, codec.RoleStandby, m.Members[1].Role)
	m, err = b.client.Transfer(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, codec.PeerID("c"), m.Leader)
	m, err = b.client.Remove(t.Context(), 1<<63)
	require.NoError(t, err)
	require.Len(t, m.Members, 2)
	m, err = b.client.SetVoters(t.Context(), 5)
	require.NoError(t, err)
	require.Equal(t, 5, m.Target)
	require.NoError(t, b.client.Leave(t.Context()))
	require.True(t, b.group.Left)
}

// What a change fails with says what to do, and never to read a key.
func TestMembersErrors(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		fails  error
		status int
		code   api.Code
	}{
		{&logmesh.RefusedError{Reason: "it is the last voter"}, 409, api.CodeRefused},
		{&logmesh.UnknownOutcomeError{Cause: context.DeadlineExceeded}, 504, api.CodeUnknown},
		{logmesh.ErrNoLeader, 503, api.CodeNoLeader},
		{&logmesh.RemovedError{Index: 9}, 503, api.CodeStopped},
	} {
		b.group.Fail = c.fails
		status, body, _ := b.send(t, "POST", "/v1/members/remove", `{"raft_id":"0000000000000002"}`)
		require.Equal(t, c.status, status, body)
		var e api.Error
		require.NoError(t, json.Unmarshal([]byte(body), &e))
		require.Equal(t, c.code, e.Code)
		require.NotEmpty(t, e.Hint)
		require.NotContains(t, e.Hint, "key")
		var told *api.Error
		require.True(t, errors.As(b.client.Leave(t.Context()), &told))
		require.Equal(t, e, *told)
	}
}

func TestMembersWrongRequests(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/members", "", 405},
		{"GET", "/v1/members/remove", "", 405},
		{"GET", "/v1/leave", "", 405},
		{"POST", "/v1/members/nothing", "{}", 404},
		{"POST", "/v1/membersremove", "{}", 404},
		{"POST", "/v1/members/remove", "{}", 400},
		{"POST", "/v1/members/remove", `{"raft_id":2}`, 400},
		{"POST", "/v1/members/remove", `{"raft_id":"0000000000000002","voters":3}`, 400},
		{"POST", "/v1/members/remove", `{"peer":"b"}`, 400},
		{"POST", "/v1/members/target", `{"raft_id":"0000000000000002"}`, 400},
		{"POST", "/v1/members/target", `{}`, 400},
	} {
		status, body, _ := b.send(t, c.method, c.path, c.body)
		require.Equal(t, c.status, status, "%+v: %s", c, body)
	}
	for _, path := range []string{"/v1/members/remove", "/v1/leave"} {
		status, _, _ := b.send(t, "POST", path, `{"raft_id":"0000000000000002"}`, "Origin", "https://evil.example")
		require.Equal(t, 403, status, "a page in a browser removes nobody (H9)")
		require.False(t, b.group.Left)
	}
}
