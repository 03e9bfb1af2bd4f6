package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// run starts the servers, then the follower; when all are ready it lets them
// meet, and takes the time until the follower reports.
func (p pair) run(ctx context.Context, r run) (_ sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit+patience) // a process that hangs is ended
	defer cancel()
	var all group
	defer func() { err = errors.Join(err, all.stop()) }()
	servers := p.servers
	if servers < 0 {
		servers = r.peers
	}
	for range servers {
		if _, err := all.start(ctx, r, serving); err != nil {
			return sample{}, err
		}
	}
	follower, err := all.start(ctx, r, following)
	if err != nil {
		return sample{}, err
	}
	return all.race(r, follower)
}

// errState: entries were lost, changed or out of order.
var errState = errors.New("the follower's state is not what the log folds to")

// group is the processes of one run, the follower last.
type group []*process

func (g *group) start(ctx context.Context, r run, role string) (*process, error) {
	s := spec{Row: r.row, Role: role, Work: r.work, Limit: r.limit, Dir: filepath.Join(r.dir, strconv.Itoa(len(*g)))}
	p, err := startProcess(ctx, s)
	if err != nil {
		return nil, err
	}
	*g = append(*g, p)
	var hello ready
	if err := p.hear(&hello); err != nil {
		return nil, err
	}
	p.addr = hello.Addr
	return p, nil
}

// race is the part that is measured.
func (g group) race(r run, follower *process) (sample, error) {
	var addrs []string
	servers := g[:len(g)-1]
	for _, p := range servers {
		addrs = append(addrs, p.addr)
	}
	begun := time.Now()
	for _, p := range servers {
		if err := p.say(meet{[]string{follower.addr}}); err != nil {
			return sample{}, err
		}
	}
	if err := follower.say(meet{addrs}); err != nil {
		return sample{}, err
	}
	var last report
	if err := follower.hear(&last); err != nil {
		return sample{}, err
	}
	out := sample{
		Applied: last.Applied, Took: time.Since(begun), First: last.First,
		Joiner: last.CPU, Everyone: last.CPU, Peak: last.Peak,
	}
	if last.Applied == r.work.Entries && last.State != r.state {
		return sample{}, errState
	}
	for _, p := range servers {
		var its report
		if err := errors.Join(p.say(meet{}), p.hear(&its)); err != nil {
			return sample{}, err
		}
		out.Everyone += its.CPU
	}
	return out, nil
}

func (g group) stop() error {
	var errs []error
	for _, p := range g {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}

// process is this program, once more, as a member of a row.
type process struct {
	role   string
	addr   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	stderr bytes.Buffer
}

func startProcess(ctx context.Context, s spec) (*process, error) {
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{role: s.Role, cmd: exec.CommandContext(ctx, self)}
	p.cmd.Env = append(os.Environ(), specVariable+"="+string(text))
	p.cmd.Stderr = &p.stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	return p, p.cmd.Start()
}

func (p *process) say(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = p.in.Write(append(text, '\n'))
	return err
}

func (p *process) hear(v any) error {
	if err := p.out.Decode(v); err != nil {
		return fmt.Errorf("the %s process ended too early: %w", p.role, err)
	}
	return nil
}

func (p *process) stop() error {
	_ = p.in.Close() // it ends when its input does
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the %s process: %w\n%s", p.role, err, bytes.TrimSpace(p.stderr.Bytes()))
	}
	return nil
}
