package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh"
)

// knowFlag is long on purpose.
const knowFlag = "i-know-data-may-be-lost"

func (a *app) recoverCommand() *cobra.Command {
	var cfg logmesh.RecoverConfig
	var know bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Go on with one node after a majority of the voters was lost for good",
		Long: `Make the stopped node in a data directory the only member of its group. It is for a group of
which a majority of the voters will never come back: as long as one of them may, wait for it, and
nothing is lost.

The group goes on with all that the directory holds. Writes that only the lost members held are
lost, also if they were acknowledged. It becomes another log: the lost members, should they come
back, are told apart and refused, and so are the others that are still there. They join again
from empty directories.

Without --` + knowFlag + ` it only says what it would do. See docs/recovery.md.`,
		Example: "  logmesh recover --data node1\n  logmesh recover --data node1 --" + knowFlag,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) (err error) {
			if cfg.Data, err = a.dataPath(); err != nil {
				return err
			}
			if know {
				return a.recover(cfg)
			}
			return a.planRecovery(cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.data, "data", "", "data `directory` of the node (default: logmesh in the XDG data directory)")
	f.StringVar(&cfg.Group, "group", logmesh.DefaultGroup, "`name` of the group")
	f.BoolVar(&know, knowFlag, false, "do it")
	return cmd
}

func (a *app) planRecovery(cfg logmesh.RecoverConfig) error {
	r, err := logmesh.PlanRecovery(cfg)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) // Flush has the error
	}
	row("group", "%s", r.Group)
	row("log", "%v", r.Log)
	row("last entry", "%d, term %d", r.Last.Index, r.Last.Term)
	row("committed", "%d; %d entries beyond it are here, which others may have committed: they are kept", r.Committed, r.Last.Index-r.Committed)
	row("voters", "%d, of which %d are a majority", r.Voters, r.Voters/2+1)
	for i, m := range r.Members {
		row([]string{"members", ""}[min(i, 1)], "%v %s%s", m.Role, m.Peer, map[bool]string{true: ", this node"}[m.RaftID == r.RaftID])
	}
	if r.Role() == 0 {
		row("", "this node, %s, is none of them", r.Peer)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	a.say(`Nothing was changed. Recovering makes this node the only member and voter of group %s, as
another log. Do it only if a majority of the voters is lost for good: writes that they acknowledged
and that are not in this directory are lost, and whoever comes back is refused.`, r.Group)
	a.say("  %s", recoverLine(cfg))
	return nil
}

// recoverLine is the command that does it.
func recoverLine(cfg logmesh.RecoverConfig) string {
	line := []string{calledAs(), "recover", "--data", cfg.Data}
	if cfg.Group != logmesh.DefaultGroup {
		line = append(line, "--group", cfg.Group)
	}
	return strings.Join(append(line, "--"+knowFlag), " ")
}

func (a *app) recover(cfg logmesh.RecoverConfig) error {
	r, err := logmesh.Recover(cfg)
	if err != nil {
		return err
	}
	a.say("group %s goes on from index %d with this node alone; its log is now", r.Group, r.Index)
	if _, err := fmt.Fprintln(a.out, r.NewLog); err != nil {
		return err
	}
	a.say("start it, with its --network if it has one:")
	a.say("  %s", runLine(cfg))
	a.say("It prints the line with which others join. Members from before move their data directories away, keep")
	a.say("them, and join with empty ones.")
	return nil
}

// runLine is the command that starts the recovered node.
func runLine(cfg logmesh.RecoverConfig) string {
	line := []string{calledAs(), "run", "--data", cfg.Data}
	if cfg.Group != logmesh.DefaultGroup {
		line = append(line, "--group", cfg.Group)
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, keyFileName)); err != nil {
		line = append(line, "--group-key", "FILE")
	}
	return strings.Join(line, " ")
}
