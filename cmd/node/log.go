package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
)

func (a *app) logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Look into the log of a stopped node",
		Long:  "Look into the log of a stopped node, without changing it. DIR is a node's data directory, or one group's ledger in it.",
		Example: `  logmesh log stat ~/.local/share/logmesh
  logmesh log verify ~/.local/share/logmesh --group main
  logmesh log dump node2 --from 100 --to 120`,
	}
	cmd.AddCommand(a.logStat(), a.logVerify(), a.logDump())
	parent(cmd)
	return cmd
}

// onLedger makes the body of a command that reads a stopped ledger.
func onLedger(cmd *cobra.Command, do func(dir string) error) *cobra.Command {
	var group string
	cmd.Args = exactArgs("DIR")
	cmd.Flags().StringVar(&group, "group", logmesh.DefaultGroup, "`name` of the group, if DIR is a node's data directory")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		dir, err := ledgerDir(args[0], group)
		if err != nil {
			return err
		}
		err = do(dir)
		var damage *ledger.DamageError
		switch {
		case errors.Is(err, ledger.ErrInUse):
			return hinted(err, "stop the node first")
		case errors.As(err, &damage):
			return hinted(err, "`logmesh log verify` lists all damage")
		}
		return err
	}
	return cmd
}

func ledgerDir(dir, group string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	groups := filepath.Join(dir, groupsDir)
	if _, err := os.Stat(groups); err != nil {
		return dir, nil //nolint:nilerr // not a node's directory: a ledger's
	}
	dir = filepath.Join(groups, url.PathEscape(group))
	if _, err := os.Stat(dir); err != nil {
		return "", hinted(fmt.Errorf("no group %q in %s", group, groups), "name another with --group")
	}
	return dir, nil
}

func (a *app) logStat() *cobra.Command {
	return onLedger(&cobra.Command{Use: "stat DIR", Short: "Say what the log holds"}, func(dir string) error {
		st, damage := ledger.Stat(vfs.Default, dir)
		if st.Peer == "" && damage != nil {
			return damage
		}
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		row := func(name, format string, args ...any) {
			_, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) // Flush has the error
		}
		row("peer", "%s", st.Peer)
		row("raft id", "%v", st.RaftID)
		row("group", "%v", st.Group)
		row("log", "%v", st.LogID)
		for _, r := range st.Before {
			row("", "%v until the recovery at index %d", r.Log, r.Index)
		}
		row("blocks", "%d, up to index %d, root %v", st.Head.Blocks, st.Head.Last, st.Head.Root)
		if st.Missing > 0 {
			row("missing", "%d blocks, damaged; fetched when the node starts", st.Missing)
		}
		row("files", "%s MB", megabytes(st.Bytes))
		row("members", "%d, of them %d voters", len(st.Config.Members), st.Config.Voters())
		if st.Removed != 0 {
			row("removed", "from the group, at index %d", st.Removed)
		}
		if st.RaftView {
			row("raft view", "%d to %d, %d entries in no block", st.First, st.Last, st.Tail)
			row("committed", "%d, term %d", st.Hard.Commit, st.Hard.Term)
			row("applied", "%d, by Raft", st.Applied)
		}
		row("stopped", "%s", map[bool]string{true: "cleanly", false: "not cleanly"}[st.Stopped])
		return errors.Join(w.Flush(), damage)
	})
}

func (a *app) logVerify() *cobra.Command {
	return onLedger(&cobra.Command{
		Use: "verify DIR", Short: "Find damage",
		Long: `Read everything and list each damage, with the index where it starts. Fails if there is any.

Starting the node repairs what can be repaired, and fetches damaged blocks from other members.
It refuses if what only this node knew is lost, and says how to come back empty.`,
	}, func(dir string) error {
		found := 0
		err := ledger.Verify(vfs.Default, dir, actors.Fold, func(d *ledger.DamageError) {
			found++
			_, _ = fmt.Fprintln(a.out, d) // the exit status counts
		})
		if err != nil {
			return err
		}
		if found > 0 {
			return hinted(fmt.Errorf("%d damages in %s", found, dir), "start the node: it repairs itself, or says what is lost and how to come back with an empty directory")
		}
		a.say("no damage in %s", dir)
		return nil
	})
}

func (a *app) logDump() *cobra.Command {
	var from, to uint64
	cmd := onLedger(&cobra.Command{
		Use: "dump DIR", Short: "List entries",
		Long: "List entries, one a line: index, term, kind, block (or tail), length, first bytes in hexadecimal.",
	}, func(dir string) error {
		return ledger.Dump(vfs.Default, dir, codec.Index(from), codec.Index(to), a.out)
	})
	cmd.Flags().Uint64Var(&from, "from", 1, "first `index`")
	cmd.Flags().Uint64Var(&to, "to", 1<<63, "last `index`")
	return cmd
}
