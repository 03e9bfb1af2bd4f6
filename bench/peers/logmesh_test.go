package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Both of our rows, with the program that this tree makes.
func TestOurRows(t *testing.T) {
	program := sync.OnceValues(func() (string, error) { return build(context.Background(), t.TempDir()) })
	r := run{work: work{Entries: 2000, Size: 100}, peers: 2, limit: time.Minute, program: program}
	for _, row := range allRows()[:2] {
		s, err := row.once(t.Context(), r, filepath.Join(t.TempDir(), "run"))
		if err != nil {
			t.Fatal(err)
		}
		if s.Applied != r.work.Entries || s.Took <= 0 || s.First <= 0 || s.Joiner <= 0 || s.Peak <= 0 {
			t.Errorf("%s measured %+v", row.name, s)
		}
	}
}

// The bench is asked for the same work, and its result is read.
func TestOursAsksTheBench(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "logmesh")
	script := `#!/bin/sh
echo "$@" >` + dir + `/asked
echo '{"entries":3000,"seconds":1.5,"entries_per_s":2000,"cpu_s_per_million_entries":4,"time_to_first_applied_ms":250,"joiner_peak_rss_mb":64}'
`
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := ours{memory: true}.run(t.Context(), run{
		work: work{Entries: 3000, Size: 77}, peers: 5, limit: time.Minute, dir: "/there",
		program: func() (string, error) { return program, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.rate() != 2000 || s.perMillion(s.Joiner) != 4 || s.Everyone != 0 || s.First != 250*time.Millisecond || s.Peak != 64e6 {
		t.Errorf("measured %+v", s)
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "bench catchup --entries 3000 --size 77 --peers 5 --memory=true --writes 0 --dir /there --json"
	if got := strings.TrimSpace(string(asked)); got != want {
		t.Errorf("asked for\n%s, not\n%s", got, want)
	}
}
