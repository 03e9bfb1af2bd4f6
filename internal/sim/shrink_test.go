package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shortest looks for the shortest scenario that breaks the same promise, and
// gives its trace.
func shortest(t *testing.T, s Scenario, f Faults, v *Violation) string {
	s = shrink(t, s, f, v, shrinkTime)
	r := simulate(t, s, f, true)
	return fmt.Sprintf("shrunk: %d voters wanted, members %v, horizon %d blocks, heartbeat %d ticks, %d users\n%s\n%v",
		s.Voters, s.Members, s.Horizon, s.Heartbeat, len(s.Users), strings.Join(tail(r.Lines, 200), "\n"), r.Violation)
}

// shrink leaves out users, what is done to the members, and operations, as long
// as the same promise is broken and there is time.
func shrink(t *testing.T, s Scenario, f Faults, v *Violation, limit time.Duration) Scenario {
	x := shrinker{t: t, faults: f, what: v.What, until: time.Now().Add(limit)}
	if c := s; v.At < s.Length {
		if c.Length = v.At; x.fails(c) {
			s = c
		}
	}
	s = x.halve(len(s.Users), func(keep []int) Scenario {
		c := s
		c.Users = pick(s.Users, keep)
		return c
	})
	s = x.halve(len(s.Actions), func(keep []int) Scenario {
		c := s
		c.Actions = pick(s.Actions, keep)
		return c
	})
	for u := range s.Users {
		s = x.halve(len(s.Users[u]), func(keep []int) Scenario {
			c := s
			c.Users = slices.Clone(s.Users)
			c.Users[u] = pick(s.Users[u], keep)
			return c
		})
	}
	return s
}

// tail is the last n lines.
func tail(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

func pick[T any](all []T, keep []int) (out []T) {
	for _, i := range keep {
		out = append(out, all[i])
	}
	return out
}

// shrinker tries shorter scenarios until its time is up.
type shrinker struct {
	t      *testing.T
	faults Faults
	what   string
	until  time.Time
}

func (x *shrinker) fails(s Scenario) bool {
	if time.Now().After(x.until) {
		return false
	}
	r := simulate(x.t, s, x.faults, false)
	return r.Violation != nil && r.Violation.What == x.what
}

// halve leaves out parts of n, from halves down to single ones, as long as what
// is left fails alike (Zeller's delta debugging, complements only).
func (x *shrinker) halve(n int, of func(keep []int) Scenario) Scenario {
	keep := make([]int, n)
	for i := range keep {
		keep[i] = i
	}
	for size := (n + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < len(keep); {
			rest := slices.Delete(slices.Clone(keep), from, min(from+size, len(keep)))
			if x.fails(of(rest)) {
				keep = rest
			} else {
				from += size
			}
		}
	}
	return of(keep)
}

// What is left of a run that fails is short, and fails alike.
func TestShortest(t *testing.T) {
	s, f := Draw(1), Faults{AckOnAccept: true}
	r := simulate(t, s, f, false)
	require.NotNil(t, r.Violation)
	short := shrink(t, s, f, r.Violation, time.Minute)
	require.Less(t, len(short.Actions)+len(short.Users), 4, "of %d actions and %d users", len(s.Actions), len(s.Users))
	again := simulate(t, short, f, true)
	require.NotNil(t, again.Violation)
	require.Equal(t, r.Violation.What, again.Violation.What)
	require.NotEmpty(t, again.Lines)
}
