package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
)

// A part is what one of the started processes plays. Each request names one of its
// verbs.
type part struct {
	verbs map[string]verb
	close func() error
}

type verb func(ctx context.Context, args json.RawMessage) (any, error)

// on makes a verb of a function over Go types.
func on[A, R any](do func(context.Context, A) (R, error)) verb {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, err
		}
		return do(ctx, args)
	}
}

// none is what a verb takes, or returns, that has nothing to say.
type none struct{}

// parts are the parts by name.
var parts = map[string]func(*slog.Logger) *part{
	partMember: newMember,
	partJoiner: newJoiner,
	partGiver:  newGiver,
	partTaker:  newTaker,
	partRaw:    newRaw,
}

type request struct {
	Verb string
	Args json.RawMessage
}

type response struct {
	Error  string `json:",omitempty"`
	Result any    `json:",omitempty"`
}

// Play plays the part called name: it does the requests that come on in, one after
// the other, and answers on out, until in ends. It is the whole life of a process
// that a bench started.
func Play(ctx context.Context, name string, in io.Reader, out io.Writer, log *slog.Logger) error {
	make, ok := parts[name]
	if !ok {
		return fmt.Errorf("no part %q; there are %v", name, slices.Sorted(maps.Keys(parts)))
	}
	p := make(log)
	err := p.play(ctx, in, out)
	return errors.Join(err, p.close())
}

func (p *part) play(ctx context.Context, in io.Reader, out io.Writer) error {
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r request
		if err := requests.Decode(&r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read a request: %w", err)
		}
		do, ok := p.verbs[r.Verb]
		if !ok {
			return fmt.Errorf("no verb %q", r.Verb)
		}
		var a response
		result, err := do(ctx, r.Args)
		if err != nil {
			a.Error = err.Error()
		} else {
			a.Result = result
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("answer %q: %w", r.Verb, err)
		}
	}
}
