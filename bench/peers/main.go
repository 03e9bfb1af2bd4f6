package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	if s := os.Getenv(specVariable); s != "" {
		exit(serveSpec(s, os.Stdin, os.Stdout))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(compare(ctx, os.Args[1:]))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options are the command's flags.
type options struct {
	work  work
	runs  int
	peers int
	rows  string
	limit time.Duration
	dir   string
	json  bool

	logmesh string // the program; empty: it is built
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.Uint64Var(&o.work.Entries, "entries", 1_000_000, "entries of the log")
	flags.IntVar(&o.work.Size, "size", 128, "bytes of an entry's command")
	flags.IntVar(&o.runs, "runs", 5, "runs of each row; the table has their medians")
	flags.IntVar(&o.peers, "peers", 3, "members that a joiner of logmesh and of the fixed scheduler takes the log from")
	flags.StringVar(&o.rows, "rows", "", "names of rows, with commas between; none: all")
	limit := flags.Float64("limit", 30, "seconds that a run may take; what was applied by then counts")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "directory on the disk to measure on")
	flags.StringVar(&o.logmesh, "logmesh", "", "path of the logmesh program to measure; none: it is built from here")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.limit = seconds(*limit)
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("what is %q? There are flags only: see --help", flags.Arg(0))
	case o.work.Entries < 1 || o.runs < 1 || o.peers < 1:
		return o, fmt.Errorf("--entries, --runs and --peers are at least 1")
	case o.work.Size < 8 || o.work.Size > 1<<20:
		return o, fmt.Errorf("--size is from 8 bytes to 1 MiB")
	}
	return o, nil
}
