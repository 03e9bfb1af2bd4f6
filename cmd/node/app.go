package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/logmesh/logmesh/internal/api"
)

// Exit statuses.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitRemoved // of `run`: this node is no member any more
)

// app is one run of the command.
type app struct {
	in       io.Reader
	out, err io.Writer
	timeout  time.Duration // of a request to a node; 0: none
	node     string        // API address of the node to ask
	data     string        // data directory, of the node to ask or to run
}

// start runs the command line args and returns the exit status.
func start(args []string, in io.Reader, out, err io.Writer) int {
	a := &app{in: in, out: out, err: err}
	ctx, stop := interruptible()
	defer stop()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	return a.report(root.ExecuteContext(ctx))
}

// interruptible is a context that ends with the first interrupt; a second one
// ends the process at once.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for range 2 {
			select {
			case <-signals:
				if ctx.Err() != nil {
					os.Exit(exitFailure)
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "logmesh",
		Short: "A log that a group of nodes shares, and a late node catches up with from all of them",
		Example: `  logmesh run --found                       found a group on this machine
  logmesh run --data node2 --join TICKET …  join it: the first node prints the line
  logmesh kv put greeting hello             write through any node
  logmesh status                            who is there, who leads, who trails`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(flagError)
	cmd.AddCommand(
		a.runCommand(), a.statusCommand(), a.membersCommand(), a.leaveCommand(), a.kvCommand(), a.keyCommand(),
		a.ticketCommand(), a.tuneCommand(), a.benchCommand(), a.logCommand(), a.recoverCommand(), a.versionCommand(),
	)
	parent(cmd)
	return cmd
}

// clientFlags adds the flags that say which node is asked.
func (a *app) clientFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.node, "node", "", "API `address` of the node (default: that of --data, else "+defaultAPI+")")
	f.StringVar(&a.data, "data", "", "data `directory` of the node to ask")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for an answer")
}

// client makes a client of the node that the flags name.
func (a *app) client() (*api.Client, error) {
	addr, err := a.apiAddr()
	if err != nil {
		return nil, err
	}
	c, err := api.NewClient(addr)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// apiAddr is --node, or what the node.json of --data or of the default
// directory says, or the default address.
func (a *app) apiAddr() (string, error) {
	if a.node != "" {
		return a.node, nil
	}
	dir := a.data
	if dir == "" {
		var err error
		if dir, err = defaultData(); err != nil {
			return defaultAPI, nil //nolint:nilerr // no home directory: there is no node in it
		}
	}
	file, err := readNodeFile(dir)
	switch {
	case err == nil:
		return file.API, nil
	case a.data == "" && errors.Is(err, os.ErrNotExist):
		return defaultAPI, nil
	case errors.Is(err, os.ErrNotExist):
		return "", hinted(fmt.Errorf("no node runs in %s: it has no %s", dir, nodeFileName), "start it with `logmesh run --data %s`", dir)
	}
	return "", err
}

// limit bounds a request by --timeout.
func (a *app) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.timeout)
}

// say writes a line of talk.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.err, format+"\n", args...) // nowhere to say that talk fails
}

// terminal reports whether w is a terminal.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
