package testnet

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// ask is what a client asks of a register, a key that holds a value or nothing.
type ask int

const (
	askGet ask = iota
	askPut
	askCAS
)

func (a ask) String() string { return [...]string{"get", "put", "cas"}[a] }

// outcome is what became of it, as far as the client knows.
type outcome int

const (
	done     outcome = iota // answered
	mismatch                // a compare-and-swap found another value, and changed nothing
	refused                 // nothing has happened
	unknown                 // it may have happened, or may yet
)

func (o outcome) String() string { return [...]string{"done", "mismatch", "refused", "unknown"}[o] }

// register is the value of a key; the zero value: none.
type register struct {
	there bool
	value string
}

// operation is what a client saw of one request, by one monotonic clock.
type operation struct {
	client     int
	node       string // asked through
	key        string
	ask        ask
	old        register // a compare-and-swap expects it
	value      string   // put or swapped in; unique in the history
	got        register // by a get that was answered
	outcome    outcome
	call, back time.Duration // since the history began
}

func (o operation) String() string {
	s := fmt.Sprintf("%v–%v client %d via %s: %v %s", o.call, o.back, o.client, o.node, o.ask, o.key)
	switch o.ask {
	case askGet:
		return fmt.Sprintf("%s → %v: %v", s, o.outcome, o.got)
	case askCAS:
		return fmt.Sprintf("%s %v → %s: %v", s, o.old, o.value, o.outcome)
	}
	return fmt.Sprintf("%s %s: %v", s, o.value, o.outcome)
}

// history collects operations. It is safe for concurrent use.
type history struct {
	began time.Time

	mu  sync.Mutex
	ops []operation
}

func newHistory() *history { return &history{began: time.Now()} }

func (h *history) now() time.Duration { return time.Since(h.began) }

func (h *history) add(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// all is a copy of what was collected so far.
func (h *history) all() []operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ops)
}

// registers is what a sequential map would do, one key at a time.
var registers = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) {
		s, o := state.(register), input.(operation)
		switch {
		case o.ask == askGet:
			return s == o.got, s
		case o.ask == askPut:
			return true, register{true, o.value}
		case o.outcome == mismatch:
			return s != o.old, s
		case s == o.old:
			return true, register{true, o.value}
		default:
			return o.outcome == unknown, s // it found another value
		}
	},
}

// verdict is what the checker says about a history.
type verdict struct {
	keys, longest int // keys, and most operations of one
	open          int // most operations of one key whose outcome stays unknown
	took          time.Duration
	wrong         []string // a line for each key that is not linearizable, or not checked in time
	transcripts   []string // the histories of those that are not
}

// linearizable checks each key's history, each for as long as limit. An unknown
// write may take effect at any time after its call, or never; what was refused
// never did; a get that was not answered says nothing.
func linearizable(ops []operation, limit time.Duration) verdict {
	began := time.Now()
	of := map[string][]porcupine.Operation{}
	open := map[string]int{}
	for _, o := range ops {
		back := int64(o.back)
		switch {
		case o.outcome == refused, o.ask == askGet && o.outcome != done:
			continue
		case o.outcome == unknown:
			back = math.MaxInt64
			open[o.key]++
		}
		of[o.key] = append(of[o.key], porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.call), Return: back})
	}
	v := verdict{keys: len(of)}
	for key, its := range of {
		v.longest, v.open = max(v.longest, len(its)), max(v.open, open[key])
		switch porcupine.CheckOperationsTimeout(registers, its, limit) {
		case porcupine.Illegal:
			v.wrong = append(v.wrong, key+": not linearizable")
			v.transcripts = append(v.transcripts, transcript(its))
		case porcupine.Unknown:
			v.wrong = append(v.wrong, fmt.Sprintf("%s: not checked within %v: %d operations, %d of them open", key, limit, len(its), open[key]))
		}
	}
	slices.Sort(v.wrong)
	v.took = time.Since(began)
	return v
}

// transcript is a key's history for people, in the order of the calls.
func transcript(its []porcupine.Operation) string {
	slices.SortFunc(its, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var out strings.Builder
	for _, o := range its {
		fmt.Fprintf(&out, "  %v\n", o.Input)
	}
	return out.String()
}

// R4: the checker takes histories that a map could have, and no others.
func TestHistories(t *testing.T) {
	value := func(v string) register { return register{true, v} }
	op := func(call, back int, a ask, o outcome, old, got register, v string) operation {
		return operation{key: "k", ask: a, outcome: o, old: old, got: got, value: v, call: time.Duration(call), back: time.Duration(back)}
	}
	none := register{}
	put := func(call, back int, v string, o outcome) operation { return op(call, back, askPut, o, none, none, v) }
	get := func(call, back int, got register) operation { return op(call, back, askGet, done, none, got, "") }
	cas := func(call, back int, old register, v string, o outcome) operation {
		return op(call, back, askCAS, o, old, none, v)
	}
	for name, c := range map[string]struct {
		ok  bool
		ops []operation
	}{
		"one after the other":               {true, []operation{put(0, 1, "a", done), get(2, 3, value("a"))}},
		"a stale read":                      {false, []operation{put(0, 1, "a", done), put(2, 3, "b", done), get(4, 5, value("a"))}},
		"a lost write":                      {false, []operation{put(0, 1, "a", done), get(2, 3, none)}},
		"a read beside the write, either":   {true, []operation{put(0, 5, "a", done), get(1, 2, none), get(3, 4, value("a"))}},
		"a read beside the write, back":     {false, []operation{put(0, 5, "a", done), get(1, 2, value("a")), get(3, 4, none)}},
		"an unknown put that never was":     {true, []operation{put(0, 1, "a", unknown), get(2, 3, none), get(8, 9, none)}},
		"an unknown put that comes late":    {true, []operation{put(0, 1, "a", unknown), get(2, 3, none), get(8, 9, value("a"))}},
		"an unknown put that comes twice":   {false, []operation{put(0, 1, "a", unknown), get(2, 3, value("a")), put(4, 5, "b", done), get(6, 7, value("b")), get(8, 9, value("a"))}},
		"a refused put that was":            {false, []operation{put(0, 1, "a", refused), get(2, 3, value("a"))}},
		"swaps in turn":                     {true, []operation{cas(0, 1, none, "a", done), cas(2, 3, value("a"), "b", done), get(4, 5, value("b"))}},
		"two swaps from the same value":     {false, []operation{put(0, 1, "a", done), cas(2, 5, value("a"), "b", done), cas(3, 6, value("a"), "c", done)}},
		"a swap that should have matched":   {false, []operation{put(0, 1, "a", done), cas(2, 3, value("a"), "b", mismatch)}},
		"a swap that found another":         {true, []operation{put(0, 1, "a", done), cas(2, 3, value("b"), "c", mismatch), get(4, 5, value("a"))}},
		"an unknown swap that did":          {true, []operation{put(0, 1, "a", done), cas(2, 3, value("a"), "b", unknown), get(4, 5, value("b"))}},
		"an unknown swap that could not":    {false, []operation{put(0, 1, "a", done), cas(2, 3, value("x"), "b", unknown), get(4, 5, value("b"))}},
		"a value that nobody wrote":         {false, []operation{get(0, 1, value("z"))}},
		"a get without answer says nothing": {true, []operation{put(0, 1, "a", done), op(2, 3, askGet, unknown, none, none, "")}},
	} {
		v := linearizable(c.ops, time.Minute)
		require.Equal(t, c.ok, len(v.wrong) == 0, "%s: %v", name, v.wrong)
	}
}
