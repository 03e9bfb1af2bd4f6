package logmesh

import (
	"context"
	"fmt"

	"github.com/logmesh/logmesh/machine"
)

// Client is a group whose machine was written over Go types: see Join.
type Client[C, R, Q, A any] struct{ *Group }

// Join takes part in a group with a machine over Go types, as Node.Join does
// with one over bytes.
func Join[C, R, Q, A any](ctx context.Context, n *Node, cfg GroupConfig, m machine.Typed[C, R, Q, A]) (*Client[C, R, Q, A], error) {
	g, err := n.Join(ctx, cfg, machine.FromTyped(m))
	if err != nil {
		return nil, err
	}
	return &Client[C, R, Q, A]{g}, nil
}

// Do writes a command and returns its result. Errors are those of
// Group.Execute; an error of the machine's Apply comes as a *RejectedError.
func (c *Client[C, R, Q, A]) Do(ctx context.Context, command C) (R, error) {
	return c.do(command, func(data []byte) (Result, error) { return c.Execute(ctx, data) })
}

// DoIn writes a command in a place of a session, as Group.ExecuteIn does.
func (c *Client[C, R, Q, A]) DoIn(ctx context.Context, s Session, at Slot, command C) (R, error) {
	return c.do(command, func(data []byte) (Result, error) { return c.ExecuteIn(ctx, s, at, data) })
}

func (c *Client[C, R, Q, A]) do(command C, execute func([]byte) (Result, error)) (R, error) {
	var result R
	data, err := machine.EncodeTyped(command)
	if err != nil {
		return result, fmt.Errorf("encode the command: %w", err)
	}
	r, err := execute(data)
	if err != nil {
		return result, err
	}
	if err := machine.DecodeTyped(r.Data, &result); err != nil {
		return result, fmt.Errorf("decode the result at index %d: %w", r.Index, err)
	}
	return result, nil
}

// Ask asks the machine. Errors are those of Group.Query.
func (c *Client[C, R, Q, A]) Ask(ctx context.Context, query Q, at Read) (A, error) {
	var answer A
	data, err := machine.EncodeTyped(query)
	if err != nil {
		return answer, fmt.Errorf("encode the query: %w", err)
	}
	a, err := c.Query(ctx, data, at)
	if err != nil {
		return answer, err
	}
	if err := machine.DecodeTyped(a.Data, &answer); err != nil {
		return answer, fmt.Errorf("decode the answer: %w", err)
	}
	return answer, nil
}
