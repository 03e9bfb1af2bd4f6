package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/logmesh/logmesh/codec"
)

// WriteConfig says which writes are measured: values of writeBytes to a key-value
// machine, by clients that each wait for one before the next.
type WriteConfig struct {
	Voters  int
	Writers int
	Seconds float64
	Any     bool // the writers are spread over all members; else all use the leader

	Stage
}

// Limits of a bench of writes.
const (
	maxWriters = 4096
	maxSeconds = 3600
)

// Validate reports what is wrong, by the names of the flags.
func (c WriteConfig) Validate() error {
	switch {
	case c.Voters < 1 || c.Voters > codec.MaxVoters:
		return fmt.Errorf("--voters %d: 1 to %d are possible", c.Voters, codec.MaxVoters)
	case c.Writers < 1 || c.Writers > maxWriters:
		return fmt.Errorf("--writers %d: 1 to %d are possible", c.Writers, maxWriters)
	case !(c.Seconds > 0 && c.Seconds <= maxSeconds):
		return fmt.Errorf("--seconds %v: more than 0, and at most %d, are possible", c.Seconds, maxSeconds)
	}
	return nil
}

// WriteResult is what a bench of writes found.
type WriteResult struct {
	Voters    int     `json:"voters"`
	Writers   int     `json:"writers"`
	Via       string  `json:"via"` // leader or any
	Seconds   float64 `json:"seconds"`
	Writes    int     `json:"writes"`
	WritesPer float64 `json:"writes_per_s"`
	SyncsPer  float64 `json:"syncs_per_s"` // of the disk alone
	Ratio     float64 `json:"ratio"`       // of the two
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
}

// Write measures writes. All processes have ended, and their files are gone, when it
// returns.
func Write(ctx context.Context, cfg WriteConfig) (r WriteResult, err error) {
	if err := cfg.Validate(); err != nil {
		return r, err
	}
	s, err := cfg.set(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = s.close(err) }()
	voters, err := s.voters(cfg)
	if err != nil {
		return r, err
	}
	cfg.Say("%d writers for %v s", cfg.Writers, cfg.Seconds)
	syncs, err := s.syncRates(nil)
	if err != nil {
		return r, err
	}
	took, err := all[[]float64](s, cfg.entries(voters), "load", func(i int) any {
		return loadArgs{Writers: cfg.writersOf(i), Seconds: cfg.Seconds}
	})
	if err != nil {
		return r, err
	}
	if syncs, err = s.syncRates(syncs); err != nil {
		return r, err
	}
	return cfg.result(slices.Concat(took...), syncs), nil
}

// voters starts the group; the first of them leads.
func (s *stage) voters(cfg WriteConfig) ([]*process, error) {
	cfg.Say("starting %d voters", cfg.Voters)
	var list []*process
	var peers []string
	for i := range cfg.Voters {
		p, err := s.start(partMember, fmt.Sprintf("voter %d", i+1))
		if err != nil {
			return nil, err
		}
		list = append(list, p)
		addrs, err := do[[]string](p, "vote", voteArgs{
			Place: s.place(fmt.Sprintf("voter%d", i+1), false), Machine: MachineKV, Voters: cfg.Voters, Peers: peers,
		})
		if err != nil {
			return nil, err
		}
		peers = append(peers, addrs...)
	}
	if _, err := all[none](s, list, "ready", same(cfg.Voters)); err != nil {
		return nil, err
	}
	if _, err := all[none](s, list, "warm", same(none{})); err != nil {
		return nil, err
	}
	leader, err := s.leaderOf(list)
	if err != nil {
		return nil, err
	}
	i := slices.Index(list, leader)
	list[0], list[i] = list[i], list[0]
	return list, s.quiet(list)
}

// entries are the members that are written through: those that do not lead get the
// first writers.
func (c WriteConfig) entries(voters []*process) []*process {
	if !c.Any {
		return voters[:1]
	}
	turned := append(slices.Clone(voters[1:]), voters[0])
	return turned[:min(len(turned), c.Writers)]
}

// writersOf is how many writers the i-th entry gets.
func (c WriteConfig) writersOf(i int) int {
	n := 1
	if c.Any {
		n = min(c.Voters, c.Writers)
	}
	return (c.Writers - i + n - 1) / n
}

// syncLooks is how many looks at the disk there are before and after.
const syncLooks = 3

func (s *stage) syncRates(rates []float64) ([]float64, error) {
	for range syncLooks {
		r, err := SyncRate(s.dir)
		if err != nil {
			return nil, err
		}
		rates = append(rates, r)
	}
	return rates, nil
}

func (c WriteConfig) result(took, syncs []float64) WriteResult {
	l := latencyOf(took)
	r := WriteResult{
		Voters: c.Voters, Writers: c.Writers, Via: "leader", Seconds: c.Seconds,
		Writes: l.Writes, WritesPer: float64(l.Writes) / c.Seconds, SyncsPer: middle(syncs), P50MS: l.P50MS, P99MS: l.P99MS,
	}
	if c.Any {
		r.Via = "any"
	}
	r.Ratio = r.WritesPer / r.SyncsPer
	return r
}

// Table writes the result for people.
func (r WriteResult) Table(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) // Flush has the error
	}
	row("group", "%d voters, %d writers through %s", r.Voters, r.Writers, map[string]string{"leader": "the leader", "any": "all members"}[r.Via])
	row("writes", "%.0f/s\tof %d B, acknowledged", r.WritesPer, writeBytes)
	row("syncs", "%.0f/s\tof the disk alone", r.SyncsPer)
	row("ratio", "%.2f", r.Ratio)
	row("latency", "p50 %.2f ms\tp99 %.2f ms", r.P50MS, r.P99MS)
	return w.Flush()
}
