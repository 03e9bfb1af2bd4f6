package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

// Membership is who belongs to a group, and the ways to change that. A
// *logmesh.Group is one.
type Membership interface {
	Members() logmesh.Membership
	Remove(ctx context.Context, id codec.RaftID) error
	Promote(ctx context.Context, id, instead codec.RaftID) error
	Transfer(ctx context.Context, id codec.RaftID) error
	SetVoters(ctx context.Context, voters int) error
	Leave(ctx context.Context) error
}

const (
	membersPath = "/v1/members"
	leavePath   = "/v1/leave"
)

// MemberChange says what a POST to /v1/members/… is about.
type MemberChange struct {
	RaftID  codec.RaftID `json:"raft_id,omitempty"` // remove, promote, transfer
	Instead codec.RaftID `json:"instead,omitempty"` // promote: the voter that makes place
	Voters  int          `json:"voters,omitempty"`  // target
}

// serveMembers answers what lies at and under /v1/members. A change is answered
// with the membership after it.
func (s *Server) serveMembers(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	m := s.node.Members
	what := strings.TrimPrefix(r.URL.Path, membersPath)
	if what == "" {
		if err := only(w, r, http.MethodGet, http.MethodHead); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, m.Members())
	}
	do, ok := map[string]func(MemberChange) error{
		"/remove":   func(c MemberChange) error { return m.Remove(ctx, c.RaftID) },
		"/promote":  func(c MemberChange) error { return m.Promote(ctx, c.RaftID, c.Instead) },
		"/transfer": func(c MemberChange) error { return m.Transfer(ctx, c.RaftID) },
		"/target":   func(c MemberChange) error { return m.SetVoters(ctx, c.Voters) },
	}[what]
	if !ok {
		return fail(CodeNotFound, "the API is described in package internal/api", "no such path: %s", r.URL.Path)
	}
	if err := only(w, r, http.MethodPost); err != nil {
		return err
	}
	change, err := readChange(w, r)
	if err != nil {
		return err
	}
	if err := do(change); err != nil {
		return ofMembership(err)
	}
	return writeJSON(w, http.StatusOK, m.Members())
}

func readChange(w http.ResponseWriter, r *http.Request) (c MemberChange, err error) {
	decode := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	decode.DisallowUnknownFields()
	if err := decode.Decode(&c); err != nil {
		return c, fail(CodeBadRequest, `send {"raft_id":"0123456789abcdef"}, as GET /v1/members has it, or {"voters":5}`, "bad change: %v", err)
	}
	if target := strings.HasSuffix(r.URL.Path, "/target"); target != (c.RaftID == 0) || target != (c.Voters != 0) {
		return c, fail(CodeBadRequest, `target takes {"voters":5}, the others {"raft_id":"0123456789abcdef"}`, "a change with the wrong fields")
	}
	return c, nil
}

// leave ends this node's membership. The group is closed when it answers.
func (s *Server) leave(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodPost); err != nil {
		return err
	}
	if err := s.node.Members.Leave(ctx); err != nil {
		return ofMembership(err)
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}

// ofMembership gives an error of a change the hint that fits it.
func ofMembership(err error) error {
	e := *asError(err)
	switch e.Code {
	case CodeRefused:
		e.Hint = "nothing was changed; `logmesh members` shows who is there"
	case CodeUnknown, CodeTimeout:
		e.Hint = "see `logmesh members`, and ask again if it was not done: that is safe"
	case CodeStopped:
		if errors.Is(err, logmesh.ErrRemoved) {
			e.Hint = "this node is no member any more; ask another"
		}
	}
	return &e
}

// Members asks who belongs to the group.
func (c *Client) Members(ctx context.Context) (m logmesh.Membership, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: membersPath}, &m)
	return m, err
}

// Remove takes a member out of the group.
func (c *Client) Remove(ctx context.Context, id codec.RaftID) (logmesh.Membership, error) {
	return c.change(ctx, "/remove", MemberChange{RaftID: id})
}

// Promote makes a standby a voter, instead of another one if that is not 0.
func (c *Client) Promote(ctx context.Context, id, instead codec.RaftID) (logmesh.Membership, error) {
	return c.change(ctx, "/promote", MemberChange{RaftID: id, Instead: instead})
}

// Transfer hands leadership to a voter.
func (c *Client) Transfer(ctx context.Context, id codec.RaftID) (logmesh.Membership, error) {
	return c.change(ctx, "/transfer", MemberChange{RaftID: id})
}

// SetVoters changes how many voters the group wants.
func (c *Client) SetVoters(ctx context.Context, voters int) (logmesh.Membership, error) {
	return c.change(ctx, "/target", MemberChange{Voters: voters})
}

// Leave ends the membership of the node that is asked.
func (c *Client) Leave(ctx context.Context) error {
	if _, err := c.do(ctx, request{method: http.MethodPost, path: leavePath}, nil); err != nil {
		return ofMembership(err)
	}
	return nil
}

func (c *Client) change(ctx context.Context, what string, change MemberChange) (m logmesh.Membership, err error) {
	body, err := json.Marshal(change)
	if err != nil {
		return m, err
	}
	if _, err = c.do(ctx, request{method: http.MethodPost, path: membersPath + what, body: body}, &m); err != nil {
		err = ofMembership(err)
	}
	return m, err
}
