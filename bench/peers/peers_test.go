package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test program be the processes that rows start.
func TestMain(m *testing.M) {
	if s := os.Getenv(specVariable); s != "" {
		exit(serveSpec(s, os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// once runs a row that is a pair.
func once(t *testing.T, p pair, w work, limit time.Duration, state uint64) (sample, error) {
	p.measure = p.run
	return p.once(t.Context(), run{work: w, state: state, peers: 3, limit: limit}, filepath.Join(t.TempDir(), "run"))
}

// A pair's follower applies the whole log, in order: the run compares its state.
func TestPairsApplyTheWholeLog(t *testing.T) {
	w := work{Entries: 2000, Size: 100}
	state := foldOf(w)
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s, err := once(t, p, w, time.Minute, state)
			if err != nil {
				t.Fatal(err)
			}
			if s.Applied != w.Entries || s.Took <= 0 || s.First <= 0 || s.First > s.Took ||
				s.Joiner <= 0 || s.Everyone < s.Joiner || s.Peak <= 0 {
				t.Errorf("measured %+v", s)
			}
		})
	}
}

// A run that the limit ends counts what was applied by then.
func TestLimitEndsARun(t *testing.T) {
	w := work{Entries: 50_000, Size: 8}
	s, err := once(t, pairs[0], w, time.Millisecond, foldOf(w))
	if err != nil {
		t.Fatal(err)
	}
	if s.Applied >= w.Entries {
		t.Errorf("%d entries were applied within %v", s.Applied, s.Took)
	}
}

func TestAnotherStateIsFound(t *testing.T) {
	w := work{Entries: 100, Size: 8}
	if _, err := once(t, pairs[0], w, time.Minute, 1); !errors.Is(err, errState) {
		t.Errorf("got %v", err)
	}
}

// What a process complains about, and that it ended, is the run's error.
func TestAProcessThatFailsIsTold(t *testing.T) {
	p := pairs[0]
	p.name = "none"
	_, err := once(t, p, work{Entries: 1, Size: 8}, time.Minute, 0)
	if err == nil || !strings.Contains(err.Error(), `no row "none"`) {
		t.Errorf("got %v", err)
	}
}
