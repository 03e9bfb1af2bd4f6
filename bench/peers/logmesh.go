package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ours is logmesh itself, measured by its own bench.
type ours struct{ memory bool }

// result is what is used of the bench's JSON.
type result struct {
	Seconds float64 `json:"seconds"`
	FirstMS float64 `json:"time_to_first_applied_ms"`
	CPU     float64 `json:"cpu_s_per_million_entries"` // the joiner's
	PeakMB  float64 `json:"joiner_peak_rss_mb"`
}

func (o ours) run(ctx context.Context, r run) (sample, error) {
	program, err := r.program()
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.limit+patience)
	defer cancel()
	text, err := output(exec.CommandContext(ctx, program, "bench", "catchup",
		"--entries", strconv.FormatUint(r.work.Entries, 10), "--size", strconv.Itoa(r.work.Size),
		"--peers", strconv.Itoa(r.peers), "--memory="+strconv.FormatBool(o.memory),
		"--writes", "0", "--dir", r.dir, "--json"))
	if err != nil {
		return sample{}, err
	}
	var got result
	if err := json.Unmarshal(text, &got); err != nil {
		return sample{}, fmt.Errorf("the bench's result: %w", err)
	}
	if got.Seconds <= 0 {
		return sample{}, fmt.Errorf("the bench says %g seconds", got.Seconds)
	}
	return sample{
		Applied: r.work.Entries,
		Took:    seconds(got.Seconds),
		First:   seconds(got.FirstMS / 1e3),
		Joiner:  seconds(got.CPU * float64(r.work.Entries) / 1e6),
		Peak:    int64(got.PeakMB * 1e6),
	}, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// build makes the program in dir, as its own module says, not as this one would.
func build(ctx context.Context, dir string) (string, error) {
	root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/logmesh/logmesh"))
	if err != nil {
		return "", fmt.Errorf("%w (run the comparison in its directory: go -C bench/peers run .)", err)
	}
	program := filepath.Join(dir, "logmesh")
	_, err = output(exec.CommandContext(ctx, "go", "-C", strings.TrimSpace(string(root)), "build", "-o", program, "./cmd/node"))
	return program, err
}

// output is what a command writes. Its error has the end of what it complained
// about.
func output(cmd *exec.Cmd) ([]byte, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		const enough = 300
		text := strings.Join(strings.Fields(complaint.String()), " ")
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), cmd.Args[1], err, text[max(len(text)-enough, 0):])
	}
	return out, nil
}
