package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// CatchupConfig says what catch-up is measured.
type CatchupConfig struct {
	Entries int    // commands in the log
	Size    int    // bytes of a command's payload
	Peers   int    // members that hold the log, all of them voters
	Machine string // MachineFold or MachineKV
	Keys    int    // of kv
	Memory  bool   // the joiner's ledger is in memory
	Bare    bool   // the bare pipeline is measured, too
	Runs    int
	Writes  float64 // a second, through the leader, before and during; 0: none
	Profile string  // directory for CPU profiles of the last run, made if it is missing; empty: none

	Stage
}

// Limits of a bench.
const (
	maxBenchEntries = 1 << 30
	maxRuns         = 99
)

// Validate reports what is wrong, by the names of the flags.
func (c CatchupConfig) Validate() error {
	switch {
	case c.Entries < 1 || c.Entries > maxBenchEntries:
		return fmt.Errorf("--entries %d: 1 to %d are possible", c.Entries, maxBenchEntries)
	case c.Size < 1 || c.Size > codec.MaxCommand:
		return fmt.Errorf("--size %d: a command has 1 to %d bytes", c.Size, codec.MaxCommand)
	case c.Peers < 1 || c.Peers > codec.MaxVoters:
		return fmt.Errorf("--peers %d: 1 to %d are possible", c.Peers, codec.MaxVoters)
	case c.Runs < 1 || c.Runs > maxRuns:
		return fmt.Errorf("--runs %d: 1 to %d are possible", c.Runs, maxRuns)
	case c.Writes < 0 || c.Writes > 1e4:
		return fmt.Errorf("--writes %v: 0 to 10000 a second are possible", c.Writes)
	case c.Machine == MachineKV && c.Keys < 1:
		return fmt.Errorf("--keys %d: at least 1", c.Keys)
	}
	if _, err := newMachine(c.Machine); err != nil {
		return fmt.Errorf("--machine: %w", err)
	}
	if _, err := newLogWriter(c.spec()); err != nil {
		return fmt.Errorf("--size: %w", err)
	}
	return nil
}

func (c CatchupConfig) spec() logSpec {
	return logSpec{Entries: c.Entries, Size: c.Size, Machine: c.Machine, Keys: c.Keys, Seed: 1}
}

// catchup is one bench at work.
type catchup struct {
	CatchupConfig
	*stage
	spec    logSpec
	written written
	members []*process
	peers   []codec.PeerID
	addrs   []string // of all members
	giver   *process // of the bare pipeline; nil: not asked for
}

// Catchup measures a catch-up. All processes have ended, and their files are gone, when
// it returns.
func Catchup(ctx context.Context, cfg CatchupConfig) (_ CatchupResult, err error) {
	if err := cfg.Validate(); err != nil {
		return CatchupResult{}, err
	}
	if cfg.Profile != "" {
		if err := os.MkdirAll(cfg.Profile, 0o755); err != nil {
			return CatchupResult{}, fmt.Errorf("profiles: %w", err)
		}
	}
	s, err := cfg.set(ctx)
	if err != nil {
		return CatchupResult{}, err
	}
	defer func() { err = s.close(err) }()
	c := &catchup{CatchupConfig: cfg, stage: s, spec: cfg.spec()}
	if err := c.prepare(); err != nil {
		return CatchupResult{}, err
	}
	runs := make([]catchupRun, cfg.Runs)
	for i := range runs {
		if runs[i], err = c.run(i); err != nil {
			return CatchupResult{}, err
		}
	}
	if cfg.Memory {
		if err := c.localOfMember(runs); err != nil {
			return CatchupResult{}, err
		}
	}
	return c.result(runs), nil
}

// prepare starts the members, each with the log in its ledger.
func (c *catchup) prepare() error {
	c.Say("writing %d ledgers of %d entries", c.ledgers(), c.Entries)
	for i := range c.Peers {
		p, err := c.start(partMember, fmt.Sprintf("member %d", i+1))
		if err != nil {
			return err
		}
		c.members = append(c.members, p)
	}
	var err error
	if c.spec.Voters, err = all[voter](c.stage, c.members, "open", func(i int) any { return c.memberPlace(i) }); err != nil {
		return err
	}
	for _, v := range c.spec.Voters {
		c.peers = append(c.peers, v.Peer)
	}
	if err := c.write(); err != nil {
		return err
	}
	start := struct {
		Machine string
		Last    codec.Index
	}{c.Machine, c.written.Head.Last}
	addrs, err := all[[]string](c.stage, c.members, "start", same(start))
	for _, a := range addrs {
		c.addrs = append(c.addrs, a...)
	}
	return err
}

func (c *catchup) memberPlace(i int) place { return c.place(fmt.Sprintf("member%d", i+1), false) }

// ledgers is how many are written before anything is measured.
func (c *catchup) ledgers() int {
	if c.Bare {
		return c.Peers + 1
	}
	return c.Peers
}

// write lets every process write the log, and checks that all wrote the same.
func (c *catchup) write() error {
	logs, err := all[written](c.stage, c.members, "write", same(c.spec))
	if err != nil {
		return err
	}
	if c.Bare {
		if c.giver, err = c.start(partGiver, "giver"); err != nil {
			return err
		}
		l, err := do[written](c.giver, "write", struct {
			Place place
			Spec  logSpec
		}{c.place("giver", false), c.spec})
		if err != nil {
			return err
		}
		logs = append(logs, l)
	}
	for _, l := range logs {
		if l != logs[0] {
			return fmt.Errorf("two processes wrote different logs: %v and %v", l, logs[0])
		}
	}
	c.written = logs[0]
	return nil
}

// catchupRun is what one run measured.
type catchupRun struct {
	full           joined
	raw, local     run
	bare           run
	before, during []float64 // seconds of the leader's writes
}

// run measures each thing once, one after the other.
func (c *catchup) run(number int) (r catchupRun, err error) {
	steps := []func(*catchupRun) error{c.bare, c.full, c.raw, c.local}
	for _, step := range steps {
		if err := c.rest(); err != nil {
			return r, err
		}
		if err := step(&r); err != nil {
			return r, err
		}
	}
	c.Say("run %d of %d: %.0f entries/s", number+1, c.Runs, float64(c.Entries)/r.full.Seconds)
	return r, nil
}

// rest waits until nothing is under way any more.
func (c *catchup) rest() error {
	waiting := c.members
	if c.giver != nil {
		waiting = append(append([]*process(nil), waiting...), c.giver)
	}
	return c.quiet(waiting)
}

func (c *catchup) bare(r *catchupRun) error {
	if c.giver == nil {
		return nil
	}
	addr, err := do[string](c.giver, "serve", none{})
	if err != nil {
		return err
	}
	p, err := c.start(partTaker, "taker")
	if err != nil {
		return err
	}
	at := c.place("taker", c.Memory)
	r.bare, err = do[run](p, "take", takeArgs{
		Place: at, Addr: addr, Head: c.written.Head, Machine: c.Machine, Commands: uint64(c.Entries), Profile: c.profile("bare"),
	})
	return errors.Join(err, p.end(), c.remove(at))
}

// profile is the file for a process's profile.
func (c *catchup) profile(name string) string {
	if c.Profile == "" {
		return ""
	}
	return filepath.Join(c.Profile, name+".pprof")
}

// full is the catch-up itself, with what the leader's clients see of it.
func (c *catchup) full(r *catchupRun) error {
	p, err := c.start(partJoiner, "joiner")
	if err != nil {
		return err
	}
	open := struct {
		Place place
		Peers []string
	}{c.place("joiner", c.Memory), c.addrs}
	if _, err := do[none](p, "open", open); err != nil {
		return err
	}
	leader, err := c.beginWrites(r)
	if err != nil {
		return err
	}
	if err := c.profileMembers(true); err != nil {
		return err
	}
	r.full, err = do[joined](p, "join", joinArgs{
		Machine: c.Machine, Last: c.written.Head.Last, Commands: uint64(c.Entries), Profile: c.profile("joiner"), Synced: true, Settle: c.settle(),
	})
	if err != nil {
		return err
	}
	if leader != nil {
		if r.during, err = do[[]float64](leader, "took", true); err != nil {
			return err
		}
	}
	if err := c.profileMembers(false); err != nil {
		return err
	}
	if c.Memory {
		if _, err := do[none](p, "leave", none{}); err != nil {
			return err
		}
	}
	return p.end()
}

// window is how many bytes a catch-up holds by default, catchup.Config.Window.
const window = 64 << 20

// settle is how many commands fill the window; 0: it is half the log, or more.
func (c *catchup) settle() uint64 {
	if c.written.Bytes < 2*window {
		return 0
	}
	return uint64(c.Entries) * window / uint64(c.written.Bytes)
}

// lookBefore is how long the leader's writes are measured before the joiner comes.
const lookBefore = 1500 * time.Millisecond

// beginWrites starts the client, if there is to be one, at the member that leads.
func (c *catchup) beginWrites(r *catchupRun) (*process, error) {
	if c.Writes == 0 {
		return nil, nil
	}
	leader, err := c.leaderOf(c.members)
	if err != nil {
		return nil, err
	}
	if _, err := do[none](leader, "writes", c.Writes); err != nil {
		return nil, err
	}
	if err := c.wait(lookBefore); err != nil {
		return nil, err
	}
	r.before, err = do[[]float64](leader, "took", false)
	return leader, err
}

func (c *catchup) profileMembers(on bool) error {
	_, err := all[none](c.stage, c.members, "profile", func(i int) any {
		if !on {
			return ""
		}
		return c.profile(fmt.Sprintf("member%d", i+1))
	})
	return err
}

func (c *catchup) raw(r *catchupRun) error {
	from, err := c.start(partRaw, "raw sender")
	if err != nil {
		return err
	}
	addr, err := do[string](from, "serve", none{})
	if err != nil {
		return err
	}
	to, err := c.start(partRaw, "raw reader")
	if err != nil {
		return err
	}
	r.raw, err = do[run](to, "read", source{Addr: addr, Bytes: c.written.Bytes})
	return errors.Join(err, to.end(), from.end())
}

// local is how long a new process takes to replay the directory that the joiner left,
// which then leaves the group.
func (c *catchup) local(r *catchupRun) (err error) {
	if c.Memory {
		return nil // localOfMember
	}
	at := c.place("joiner", false)
	r.local, err = c.replay(at, true)
	return errors.Join(err, c.remove(at))
}

// localOfMember is local for a joiner in memory: the first member's directory holds
// the same log. The members end for it.
func (c *catchup) localOfMember(runs []catchupRun) error {
	for _, p := range c.members {
		if err := p.end(); err != nil {
			return err
		}
	}
	for i := range runs {
		var err error
		if runs[i].local, err = c.replay(c.memberPlace(0), false); err != nil {
			return err
		}
	}
	return nil
}

func (c *catchup) replay(at place, leave bool) (run, error) {
	p, err := c.start(partJoiner, "replaying node")
	if err != nil {
		return run{}, err
	}
	open := struct {
		Place place
		Peers []string
	}{Place: at}
	if _, err := do[none](p, "open", open); err != nil {
		return run{}, err
	}
	j, err := do[joined](p, "join", joinArgs{
		Machine: c.Machine, Last: c.written.Head.Last, Commands: uint64(c.Entries), Profile: c.profile("local"),
	})
	if err == nil && leave {
		_, err = do[none](p, "leave", none{})
	}
	return j.run, errors.Join(err, p.end())
}
