package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shellStage has parts that are shell scripts; the part's name is $0.
func shellStage(t *testing.T, script string) *stage {
	t.Helper()
	s, err := Stage{Self: Self{"/bin/sh", "-c", script}, Dir: t.TempDir(), Timeout: time.Minute}.set(t.Context())
	require.NoError(t, err)
	return s
}

// A process that ends while it is asked tells why: what it said last.
func TestProcessThatFails(t *testing.T) {
	s := shellStage(t, "echo the disk is on fire >&2; exit 3")
	p, err := s.start("any", "member 7")
	require.NoError(t, err)
	_, err = all[none](s, []*process{p}, "open", same(none{}))
	require.ErrorContains(t, s.close(err), "member 7: open: exit status 3; it said: the disk is on fire")
	require.NoDirExists(t, s.dir)
}

func TestTailKeepsTheEnd(t *testing.T) {
	var end tail
	for i := range 1000 {
		_, err := fmt.Fprintf(&end, "line %d\n", i)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(end.String()), tailBytes)
	require.True(t, strings.HasSuffix(end.String(), "line 998\nline 999"))
}

// One that fails ends the others: they may wait for it for ever.
func TestOneFailureEndsAll(t *testing.T) {
	s := shellStage(t, `if [ "$0" = fails ]; then exit 3; fi; cat > /dev/null`)
	waits, err := s.start("waits", "member 1")
	require.NoError(t, err)
	fails, err := s.start("fails", "member 2")
	require.NoError(t, err)
	begun := time.Now()
	_, err = all[none](s, []*process{waits, fails}, "open", same(none{}))
	require.ErrorContains(t, s.close(err), "member 2: open: exit status 3")
	require.Less(t, time.Since(begun), endPatience)
}

func TestMiddle(t *testing.T) {
	require.Equal(t, 2.0, middle([]float64{3, 1, 2}))
	require.Equal(t, 2.5, middle([]float64{4, 1, 3, 2}))
}
