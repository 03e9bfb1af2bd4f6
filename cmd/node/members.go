package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
)

const peerHelp = `PEER is a peer id, its beginning or its end as the table shows it, or a raft id.`

func (a *app) membersCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "members",
		Short: "Show who belongs to the group, and change it",
		Long: `Show who belongs to the group. Changes go through any node to the leader, one at a time, and
return when they are done. An unsafe one is refused, with the reason; asking again is safe.

` + peerHelp,
		Example: `  logmesh members
  logmesh members remove 4CswRw
  logmesh members promote 4Cs333 --instead 4Cs222
  logmesh members transfer 4Cs222
  logmesh members target 5`,
	}
	cmd.AddCommand(a.membersRemove(), a.membersPromote(), a.membersTransfer(), a.membersTarget())
	parent(cmd)
	unknown := cmd.RunE
	list := a.asking(func(ctx context.Context, c *api.Client, _ []string) error {
		m, err := c.Members(ctx)
		if err != nil {
			return err
		}
		return a.showMembers(m, asJSON)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknown(cmd, args)
		}
		return list(cmd, args)
	}
	a.clientFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) showMembers(m logmesh.Membership, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(m)
	}
	rows := [][]string{{"", "member", "role", "link", "applied", "trails", "address"}}
	voters := 0
	for _, member := range m.Members {
		if member.Role == codec.RoleVoter {
			voters++
		}
		rows = append(rows, []string{
			mark(member), member.Peer.Short(), member.Role.String(), link(member), applied(member), trails(member), addr(member),
		})
	}
	lines := append(table(rows), fmt.Sprintf("%d voters, %d wanted; as of index %s; * leads", voters, m.Target, grouped(uint64(m.Index))))
	_, err := fmt.Fprintln(a.out, strings.Join(lines, "\n"))
	return err
}

func applied(m logmesh.MemberStatus) string {
	if m.Trails < 0 {
		return "?"
	}
	return grouped(uint64(m.Applied))
}

// changing makes the body of a command that finds the member its argument names,
// and changes something about it.
func (a *app) changing(do func(context.Context, *api.Client, logmesh.Membership, logmesh.MemberStatus) error) func(*cobra.Command, []string) error {
	return a.asking(func(ctx context.Context, c *api.Client, args []string) error {
		all, err := c.Members(ctx)
		if err != nil {
			return err
		}
		m, err := find(all, args[0])
		if err != nil {
			return err
		}
		return do(ctx, c, all, m)
	})
}

// find is the member of a name; the error lists who it could be.
func find(all logmesh.Membership, name string) (logmesh.MemberStatus, error) {
	m, err := all.Find(name)
	var unknown *logmesh.UnknownMemberError
	if !errors.As(err, &unknown) {
		return m, err
	}
	who := make([]string, len(unknown.Candidates))
	for i, c := range unknown.Candidates {
		who[i] = fmt.Sprintf("%s (%v)", c.Peer, c.Role)
	}
	hint := "members: "
	if unknown.Ambiguous {
		hint = "did you mean "
	}
	return m, hinted(err, "%s%s", hint, strings.Join(who, ", "))
}

func (a *app) membersRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove PEER",
		Short: "Take a member out of the group",
		Long: `Take a member out of the group, alive or not. It is told, or learns it when it returns, and
stops; its directory cannot be used for this group again. A leader hands over first. Refused if
too few of the voters that would be left are alive.

It keeps the group key: whoever has that can join again, with an empty directory.

` + peerHelp,
		Example: "  logmesh members remove 4CswRw\n  logmesh members remove 12D3KooWAfBVdmphtMFPVq3GEpcg3QMiRbrwD9mpd6D6fc4CswRw --data node1",
		Args:    exactArgs("PEER"),
	}
	cmd.RunE = a.changing(func(ctx context.Context, c *api.Client, _ logmesh.Membership, m logmesh.MemberStatus) error {
		if _, err := c.Remove(ctx, m.RaftID); err != nil {
			return err
		}
		a.say("removed %s, %v", m.Peer, m.Role)
		return nil
	})
	a.clientFlags(cmd)
	return cmd
}

func (a *app) membersPromote() *cobra.Command {
	var instead string
	cmd := &cobra.Command{
		Use:   "promote PEER [--instead VOTER]",
		Short: "Make a standby a voter",
		Long: `Make a standby a voter now; the leader does so by itself when a voter is needed. If the group
has the voters that it wants, --instead names the one that becomes a standby for it, or
` + "`logmesh members target`" + ` raises their number. Refused for an observer, and for a member that is
silent, catching up or replaying.

` + peerHelp,
		Example: "  logmesh members promote 4Cs333\n  logmesh members promote 4Cs333 --instead 4Cs222",
		Args:    exactArgs("PEER"),
	}
	cmd.RunE = a.changing(func(ctx context.Context, c *api.Client, all logmesh.Membership, m logmesh.MemberStatus) error {
		var out logmesh.MemberStatus
		var err error
		if instead != "" {
			if out, err = find(all, instead); err != nil {
				return err
			}
		}
		if _, err := c.Promote(ctx, m.RaftID, out.RaftID); err != nil {
			return err
		}
		a.say("%s is a voter", m.Peer)
		return nil
	})
	a.clientFlags(cmd)
	cmd.Flags().StringVar(&instead, "instead", "", "the `voter` that becomes a standby for it")
	return cmd
}

func (a *app) membersTransfer() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "transfer PEER",
		Short:   "Hand leadership to a voter",
		Long:    "Hand leadership to a voter. Refused if it is silent, catching up or replaying.\n\n" + peerHelp,
		Example: "  logmesh members transfer 4Cs222",
		Args:    exactArgs("PEER"),
	}
	cmd.RunE = a.changing(func(ctx context.Context, c *api.Client, _ logmesh.Membership, m logmesh.MemberStatus) error {
		if _, err := c.Transfer(ctx, m.RaftID); err != nil {
			return err
		}
		a.say("%s leads", m.Peer)
		return nil
	})
	a.clientFlags(cmd)
	return cmd
}

func (a *app) membersTarget() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "target N",
		Short: "Change how many voters the group wants",
		Long: `Change how many voters the group wants. The leader then promotes standbys that are ready, or makes
voters standbys, one at a time. A group of 2f+1 voters goes on while f of them are away.`,
		Example: "  logmesh members target 5",
		Args:    exactArgs("N"),
	}
	cmd.RunE = a.asking(func(ctx context.Context, c *api.Client, args []string) error {
		voters, err := strconv.Atoi(args[0])
		if err != nil || voters < 1 || voters > codec.MaxVoters {
			return usagef("%s: it must be from 1 to %d", args[0], codec.MaxVoters)
		}
		if _, err := c.SetVoters(ctx, voters); err != nil {
			return err
		}
		a.say("the group wants %d voters", voters)
		return nil
	})
	a.clientFlags(cmd)
	return cmd
}

func (a *app) leaveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "End a node's membership, and stop it",
		Long: `End the membership of the node that is asked, and stop it: leadership is handed over, the group
removes it, and its ` + "`logmesh run`" + ` ends with exit status 0. Its directory cannot be used for this
group again. Refused if too few of the voters that would be left are alive.

To stop a node for a while, interrupt its ` + "`logmesh run`" + ` instead.`,
		Example: "  logmesh leave --data node2",
		Args:    exactArgs(),
	}
	cmd.RunE = a.asking(func(ctx context.Context, c *api.Client, _ []string) error {
		if err := c.Leave(ctx); err != nil {
			return err
		}
		a.say("left the group")
		return nil
	})
	a.clientFlags(cmd)
	return cmd
}
