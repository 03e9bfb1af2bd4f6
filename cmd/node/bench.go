package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh/internal/bench"
)

// benchPart is the hidden command with which a bench starts copies of this program.
const benchPart = "part"

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: a catch-up, or writes",
		Long: `Measure how fast nodes on this machine catch up, or write. Everything runs in processes
of their own over loopback TCP, beside what the same machine does without us in the same run. Figures
in docs/performance.md were made so.`,
		Example: `  logmesh bench catchup
  logmesh bench catchup --entries 200000 --size 1024 --runs 5
  logmesh bench write --voters 3 --writers 256`,
	}
	cmd.AddCommand(a.benchCatchup(), a.benchWrite(), a.benchPart())
	parent(cmd)
	return cmd
}

// benchFlags are those of every bench.
type benchFlags struct {
	asJSON bool
	stage  bench.Stage
}

func (a *app) benchFlags(cmd *cobra.Command) *benchFlags {
	f := &benchFlags{stage: bench.Stage{Say: a.say}}
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&f.stage.Dir, "dir", "", "`directory` on the disk to use (default: that of temporary files)")
	cmd.Flags().DurationVar(&f.stage.Timeout, "timeout", 30*time.Minute, "how long all of it may take")
	return f
}

// here is the stage, with this binary as what starts the parts.
func (f *benchFlags) here() (bench.Stage, error) {
	path, err := os.Executable()
	f.stage.Self = bench.Self{path, "bench", benchPart}
	return f.stage, err
}

// printBench prints a result.
func (a *app) printBench(f *benchFlags, r interface{ Table(io.Writer) error }) error {
	if f.asJSON {
		return json.NewEncoder(a.out).Encode(r)
	}
	return r.Table(a.out)
}

func (a *app) benchCatchup() *cobra.Command {
	var f *benchFlags
	var cfg bench.CatchupConfig
	cmd := &cobra.Command{
		Use:   "catchup",
		Short: "Measure a node that catches up with a log",
		Long: `Start so many members that hold a log of so many commands, each in a process and with a ledger
of its own, and an empty node that joins them. Measured is the time from its Join until it has the last
entry applied and durable.

In the same run, for comparison: one plain stream of as many bytes (raw), replay of the same log
from the joiner's own disk (local) and, with --bare, the same work as a bare pipeline: one
provider, proof, decoding, storage and machine, without actors, Raft and client sessions.`,
		Example: `  logmesh bench catchup --entries 1000000 --size 128 --peers 3 --bare --runs 3
  logmesh bench catchup --entries 200000 --size 1024 --memory --json
  logmesh bench catchup --machine kv --keys 65536`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Bare && !cmd.Flags().Changed("writes") {
				cfg.Writes = 0 // the bare pipeline has no such company
			}
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			var err error
			if cfg.Stage, err = f.here(); err != nil {
				return err
			}
			r, err := bench.Catchup(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return a.printBench(f, r)
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&cfg.Entries, "entries", 1_000_000, "`number` of commands in the log")
	fl.IntVar(&cfg.Size, "size", 128, "`bytes` of a command")
	fl.IntVar(&cfg.Peers, "peers", 3, "`number` of members that hold the log")
	fl.StringVar(&cfg.Machine, "machine", bench.MachineFold, "state `machine`: fold, a running hash of the commands, or kv, puts of random values")
	fl.IntVar(&cfg.Keys, "keys", 65536, "`number` of keys that the puts go to")
	fl.BoolVar(&cfg.Memory, "memory", false, "the joining node's ledger is in memory")
	fl.BoolVar(&cfg.Bare, "bare", false, "measure the bare pipeline, too")
	fl.IntVar(&cfg.Runs, "runs", 1, "`number` of runs, of which the medians are printed")
	fl.Float64Var(&cfg.Writes, "writes", 50, "`writes` a second through the leader, before and during; with --bare 0")
	fl.StringVar(&cfg.Profile, "profile", "", "`directory` for CPU profiles of all processes in the last run")
	f = a.benchFlags(cmd)
	return cmd
}

func (a *app) benchWrite() *cobra.Command {
	var f *benchFlags
	var via string
	var cfg bench.WriteConfig
	cmd := &cobra.Command{
		Use:   "write",
		Short: "Measure acknowledged writes",
		Long: `Start a group of so many voters, each in a process and with a ledger of its own, and writers that
each wait for one write before the next. A write is acknowledged once it is synced on a majority and
applied where it was asked for.

In the same run, for comparison: how often one thread can append to a file on the same disk and
sync it.`,
		Example: `  logmesh bench write --voters 3 --writers 1
  logmesh bench write --voters 5 --writers 256 --via any --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Any = via == "any"
			if via != "any" && via != "leader" {
				return usagef("--via %q: it is leader or any", via)
			}
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			var err error
			if cfg.Stage, err = f.here(); err != nil {
				return err
			}
			r, err := bench.Write(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return a.printBench(f, r)
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&cfg.Voters, "voters", 3, "`number` of voters")
	fl.IntVar(&cfg.Writers, "writers", 16, "`number` of writers")
	fl.Float64Var(&cfg.Seconds, "seconds", 5, "`seconds` to write for")
	fl.StringVar(&via, "via", "leader", "the `member` to write through: leader, or any, for all in turn")
	f = a.benchFlags(cmd)
	return cmd
}

func (a *app) benchPart() *cobra.Command {
	return &cobra.Command{
		Use:    benchPart + " NAME",
		Hidden: true,
		Args:   exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			return bench.Play(cmd.Context(), args[0], a.in, a.out, log)
		},
	}
}
