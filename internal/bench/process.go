package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Self is the command line that starts this binary again, under the name by which it
// was started itself, in order to Play a part, whose name is appended.
type Self []string

// process is a started part. Its methods are for one goroutine, except end.
type process struct {
	name  string // for errors: "member 2"
	cmd   *exec.Cmd
	in    io.WriteCloser
	ask   *json.Encoder
	heard *json.Decoder
	talk  tail         // what it said on standard error
	wait  func() error // for its end; may be called again
}

// endPatience is how long a process may take to end by itself.
const endPatience = 10 * time.Second

// start starts a part. The process is killed when ctx ends.
func (s Self) start(ctx context.Context, part, name string) (*process, error) {
	p := &process{name: name}
	args := append(append([]string(nil), s...), part)
	p.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	p.cmd.Args[0] = os.Args[0]
	p.cmd.Stderr = &p.talk
	p.cmd.WaitDelay = time.Second
	alone(p.cmd)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.in, p.ask, p.heard = in, json.NewEncoder(in), json.NewDecoder(out)
	p.wait = sync.OnceValue(p.cmd.Wait)
	return p, nil
}

// do asks p to do verb, and waits for the result.
func do[R any](p *process, verb string, args any) (result R, err error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return result, fmt.Errorf("%s: %s: %w", p.name, verb, err)
	}
	a := response{Result: &result}
	if err = p.ask.Encode(request{Verb: verb, Args: raw}); err == nil {
		err = p.heard.Decode(&a)
	}
	switch {
	case err != nil:
		return result, p.broke(verb, err)
	case a.Error != "":
		return result, fmt.Errorf("%s: %s: %s", p.name, verb, a.Error)
	}
	return result, nil
}

// broke is why a process does not answer.
func (p *process) broke(verb string, err error) error {
	if ended := p.end(); ended != nil {
		err = ended
	}
	return fmt.Errorf("%s: %s: %w", p.name, verb, err)
}

// end lets p end by itself, and kills it when that takes too long.
func (p *process) end() error {
	_ = p.in.Close() // it may be gone already
	kill := time.AfterFunc(endPatience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	err := p.wait()
	if said := p.talk.String(); err != nil && said != "" {
		return fmt.Errorf("%w; it said: %s", err, said)
	}
	return err
}

// tailBytes is how much of what a process says is kept.
const tailBytes = 4 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if more := len(t.data) - tailBytes; more > 0 {
		t.data = append(t.data[:0], t.data[more:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.data))
}
