package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// Scenario is all that is decided before a run: who there is, what is done to
// them and when, and what users do. A run depends on it and the seed alone.
type Scenario struct {
	Seed        uint64
	Style       string
	Voters      int          // that the group wants
	Members     []codec.Role // what each asks to be; the first founds the group
	Horizon     int          // in blocks
	Window      int64        // of catch-up, in bytes
	Heartbeat   int          // in ticks
	ReplaceDead time.Duration
	LinkRate    float64       // of streams, in bytes a second
	Length      time.Duration // after which nothing is done to the members any more
	Actions     []Action
	Users       [][]op
}

// style is what a scenario is mostly about.
type style struct {
	name    string
	kinds   []actionKind // drawn from, evenly
	actions int          // at most
	horizon int          // at most, in blocks
	fill    int          // at most, commands at once
	stay    time.Duration
	think   time.Duration
	wait    time.Duration // at most, of a user
	keys    int           // at most
	users   int           // at most
	rate    float64       // of links, at least, in bytes a second
	leader  int           // in how many of 4 cases it is done to whoever leads
}

var styles = [...]style{
	{
		name: "mixed", actions: 16, horizon: 6, fill: 800, stay: 8 * time.Second, leader: 1,
		think: 1500 * time.Millisecond, wait: 8 * time.Second, keys: 4, users: 5, rate: 1e5,
		kinds: []actionKind{
			doCrash, doCrash, doCrash, doCrash, doCrashAll, doPause, doPause, doCut, doCut, doPart, doPart, doPart, doBridge,
			doWeather, doWeather, doFill, doFill, doFill, doFill, doBreakDisk, doSlowDisk, doSlowServe, doLie, doForge, doWipe, doLeave, doHandOver,
		},
	},
	{ // leaders come and go
		name: "storm", actions: 30, horizon: 6, fill: 200, stay: 5 * time.Second, leader: 3,
		think: 200 * time.Millisecond, wait: time.Second, keys: 1, users: 7, rate: 1e5,
		kinds: []actionKind{doCrash, doCrash, doCrash, doCrashAll, doCrashAll, doPause, doPause, doPause, doPart, doPart, doCut, doBridge, doWeather, doHandOver, doSlowDisk},
	},
	{ // members are away until the log is past its horizon
		name: "behind", actions: 22, horizon: 1, fill: 1500, stay: 10 * time.Second, leader: 0,
		think: 1500 * time.Millisecond, wait: 8 * time.Second, keys: 4, users: 4, rate: 5e3,
		kinds: []actionKind{doCrash, doCrash, doCrash, doPart, doPart, doCut, doPause, doFill, doFill, doFill, doFill, doFill, doBreakDisk, doBreakDisk, doBreakDisk, doSlowServe, doLie, doForge, doForge, doWeather},
	},
	{ // members come and go
		name: "churn", actions: 16, horizon: 2, fill: 600, stay: 6 * time.Second, leader: 1,
		think: time.Second, wait: 4 * time.Second, keys: 3, users: 5, rate: 3e4,
		kinds: []actionKind{doWipe, doWipe, doLeave, doLeave, doCrash, doCrash, doPart, doFill, doFill, doHandOver, doCrashAll, doLie, doForge, doForge, doPause},
	},
}

// Draw makes the scenario of a seed.
func Draw(seed uint64) Scenario {
	dice := rand.New(rand.NewPCG(seed, 1))
	d := drawer{dice, styles[dice.IntN(len(styles))]}
	s := Scenario{
		Seed: seed, Style: d.style.name, Voters: []int{1, 3, 3, 3, 3, 5}[d.IntN(6)], Horizon: 1 + d.IntN(d.style.horizon),
		Window: 1 << (13 + d.IntN(8)), Heartbeat: 1 + d.IntN(3), ReplaceDead: d.between(5*time.Second, 30*time.Second),
		LinkRate: d.style.rate * []float64{1, 10, 100}[d.IntN(3)], Length: d.between(12*time.Second, 35*time.Second),
	}
	for range s.Voters + d.IntN(2) {
		s.Members = append(s.Members, codec.RoleStandby)
	}
	if d.IntN(2) == 0 {
		s.Members = append(s.Members, codec.RoleObserver)
	}
	if len(s.Members) == 1 {
		s.Members = append(s.Members, codec.RoleStandby)
	}
	d.arrivals(&s)
	d.nemesis(&s)
	d.users(&s)
	slices.SortStableFunc(s.Actions, func(a, b Action) int { return cmp.Compare(a.At, b.At) })
	return s
}

// drawer draws parts of a scenario.
type drawer struct {
	*rand.Rand
	style style
}

func (d drawer) between(least, most time.Duration) time.Duration {
	return spread(d.Rand, least, most).Round(time.Millisecond)
}

// arrivals lets the members come: most soon, some when there is much to catch up
// with.
func (d drawer) arrivals(s *Scenario) {
	s.Actions = append(s.Actions, Action{Kind: doStart})
	if d.IntN(2) == 0 {
		s.Actions = append(s.Actions, Action{At: time.Second, Kind: doFill, Count: 100 + d.IntN(900)})
	}
	for i := 1; i < len(s.Members); i++ {
		at := d.between(0, 3*time.Second)
		if d.IntN(4) == 0 {
			at = d.between(0, s.Length)
		}
		s.Actions = append(s.Actions, Action{At: at, Kind: doStart, A: i})
	}
}

// nemesis draws what is done to the members.
func (d drawer) nemesis(s *Scenario) {
	wiped := false
	for range 2 + d.IntN(d.style.actions-2) {
		a := Action{
			At: d.between(2*time.Second, s.Length), Kind: d.style.kinds[d.IntN(len(d.style.kinds))], A: d.IntN(len(s.Members)), B: d.IntN(len(s.Members)),
			For: d.between(100*time.Millisecond, d.style.stay), Mask: d.Uint64(), Leader: d.IntN(4) < d.style.leader,
		}
		switch a.Kind {
		case doCrash:
			a.Stage = stage(d.IntN(int(stages)))
		case doWeather:
			a.Loss, a.Double, a.Delay = d.Float64()*0.3, d.Float64()*0.5, d.between(time.Millisecond, 100*time.Millisecond)
		case doFill:
			a.Count = 50 + d.IntN(d.style.fill)
		case doSlowDisk:
			a.Delay = d.between(time.Millisecond, 400*time.Millisecond)
		case doSlowServe:
			a.Rate = 1e3 * float64(1+d.IntN(30))
		case doForge: // whoever came last may never be a voter
			a.Leader, a.A, a.For = false, len(s.Members)-1, d.between(d.style.stay, 4*d.style.stay)
			a.Mask = uint64(1+d.IntN(7)) | uint64(1+d.IntN(255))*uint64(forgeEach)
		case doCut, doPart, doBridge:
			a.Quiet = d.IntN(2) == 0
		case doWipe:
			a.Leader = false
			if wiped || s.Voters < 3 || a.A == 0 {
				continue
			}
			wiped = true
		case doLeave:
			a.Leader = false
			if a.A == 0 && s.Voters == 1 {
				continue
			}
		}
		s.Actions = append(s.Actions, a)
	}
}

// users draws what users do.
func (d drawer) users(s *Scenario) {
	keys := 1 + d.IntN(d.style.keys)
	for range 2 + d.IntN(d.style.users-1) {
		var ops []op
		for range 5 + d.IntN(50) {
			ops = append(ops, op{
				kind: [...]opKind{opPut, opPut, opPut, opSwap, opSwap, opDelete, opStrong, opStrong, opStrong, opLocal, opAfter}[d.IntN(11)],
				key:  d.IntN(keys), member: d.IntN(len(s.Members)),
				think: d.between(0, d.style.think), patience: d.between(300*time.Millisecond, d.style.wait),
			})
		}
		s.Users = append(s.Users, ops)
	}
}
