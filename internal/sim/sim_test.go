package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "run this seed alone, and print its trace")
	seedsFlag  = flag.Int("seeds", usualSeeds, "how many seeds to run")
	firstFlag  = flag.Uint64("first", 1, "the first seed")
	strideFlag = flag.Int("stride", 0, "run each so many-th seed in this process; 0: share the seeds out over processes")
)

// shrinkTime bounds the search for a shorter run that fails alike.
const shrinkTime = 20 * time.Second

// simulate runs a scenario so that it can be repeated: Raft draws its election
// timeouts from the global source.
func simulate(t *testing.T, s Scenario, f Faults, traced bool) Result {
	cryptotest.SetGlobalRandom(t, s.Seed)
	return Run(s, f, traced)
}

// TestSim runs whole members from seeds: faults N1, N2, N3, N4, N5, N8, P3, S10,
// M1, M3, M4, M5. A failure prints the seed, and the shortest trace that was
// found.
func TestSim(t *testing.T) {
	switch {
	case *seedFlag != 0:
		replaySeed(t, *seedFlag)
	case *strideFlag != 0:
		runShard(t)
	default:
		share(t)
	}
}

func replaySeed(t *testing.T, seed uint64) {
	r := simulate(t, Draw(seed), Faults{}, true)
	t.Log("\n" + strings.Join(r.Lines, "\n"))
	if r.Violation != nil {
		t.Fatal(r.Violation)
	}
}

// totals is what a shard tells of its runs, one line of JSON.
type totals struct {
	Seeds, Entries int
	Virtual        time.Duration
	Reached        map[string]int
}

func (x *totals) add(y totals) {
	x.Seeds, x.Entries, x.Virtual = x.Seeds+y.Seeds, x.Entries+y.Entries, x.Virtual+y.Virtual
	if x.Reached == nil {
		x.Reached = map[string]int{}
	}
	for k, n := range y.Reached {
		x.Reached[k] += n
	}
}

// shardMark begins the line of a shard's totals.
const shardMark = "simulated: "

// runShard runs this process's share of the seeds.
func runShard(t *testing.T) {
	var sum totals
	last := *firstFlag + uint64(*seedsFlag)
	for seed := *firstFlag; seed < last; seed += uint64(*strideFlag) {
		s := Draw(seed)
		r := simulate(t, s, Faults{}, false)
		sum.add(totals{1, r.Entries, r.Duration, r.Reached})
		if r.Violation != nil {
			t.Errorf("seed %d: %v\n%s", seed, r.Violation, shortest(t, s, Faults{}, r.Violation))
			return
		}
	}
	line, err := json.Marshal(sum)
	require.NoError(t, err)
	fmt.Println(shardMark + string(line))
}

// share runs the seeds in as many processes as there are processors, because the
// global source of randomness belongs to a process.
func share(t *testing.T) {
	n := min(runtime.GOMAXPROCS(0), *seedsFlag)
	outputs := make([][]byte, n)
	failures := make([]error, n)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			first := *firstFlag + uint64(i)
			cmd := exec.Command(os.Args[0], "-test.run=^TestSim$", "-test.v", "-test.timeout=0", "-stride="+strconv.Itoa(n),
				"-first="+strconv.FormatUint(first, 10), "-seeds="+strconv.Itoa(*seedsFlag-i))
			cmd.Env = append(os.Environ(), "GOGC=400") // little lives long
			outputs[i], failures[i] = cmd.CombinedOutput()
		})
	}
	wg.Wait()
	var sum totals
	for i := range n {
		if failures[i] != nil {
			t.Errorf("%v\n%s", failures[i], outputs[i])
			continue
		}
		for lines := bufio.NewScanner(bytes.NewReader(outputs[i])); lines.Scan(); {
			if line, ok := strings.CutPrefix(lines.Text(), shardMark); ok {
				var x totals
				require.NoError(t, json.Unmarshal([]byte(line), &x))
				sum.add(x)
			}
		}
	}
	t.Logf("%d seeds in %v, %d entries, %v of virtual time: %v", sum.Seeds, time.Since(begin).Round(time.Millisecond), sum.Entries,
		sum.Virtual.Round(time.Second), sum.Reached)
	if t.Failed() || sum.Seeds < enoughSeeds {
		return
	}
	for _, what := range rare {
		if sum.Reached[what] == 0 {
			t.Errorf("in %d seeds there was never: %s", sum.Seeds, what)
		}
	}
}

// enoughSeeds are so many that nothing of rare is missing among them.
const enoughSeeds = 300

// rare is what a simulation is for, and would be worth little without.
var rare = []string{
	"adoption", "adoption at open", "extend", "trim", "cancel", "unknown outcome", "wipe", "leave", "break disk",
	"bridge", "cut", "partition", "pause", "weather", "lying provider", "forging provider", "distrust", "leaves", "voters asked", "slow provider", "slow disk", "strong read", "read after",
}

// TestSimRepeats: a seed gives the same run again.
func TestSimRepeats(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a := simulate(t, Draw(seed), Faults{}, false)
		b := simulate(t, Draw(seed), Faults{}, true)
		require.Equal(t, a.Hash, b.Hash, "seed %d", seed)
		require.Equal(t, a.Duration, b.Duration, "seed %d", seed)
	}
}
