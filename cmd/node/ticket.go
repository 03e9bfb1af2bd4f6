package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh"
)

func (a *app) ticketCommand() *cobra.Command {
	var withKey bool
	var keyFile string
	cmd := &cobra.Command{
		Use:   "ticket",
		Short: "Print a ticket: what another node needs to join",
		Long: `Print a ticket: network, group and the addresses of members as one text for
` + "`logmesh run --join`" + `. The group key is not in it and travels separately, unless
--with-key puts it in: then the ticket is a secret.`,
		Example: "  logmesh ticket --data node1\n  logmesh run --data node2 --group-key group.key --join $(logmesh ticket)",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ticket(cmd.Context(), withKey, keyFile)
		},
	}
	a.clientFlags(cmd)
	cmd.Flags().BoolVar(&withKey, "with-key", false, "put the group key into the ticket")
	cmd.Flags().StringVar(&keyFile, "group-key", "", "`file` of the key for --with-key (default: group.key in the data directory)")
	return cmd
}

func (a *app) ticket(ctx context.Context, withKey bool, keyFile string) error {
	if keyFile != "" && !withKey {
		return usagef("--group-key is for --with-key")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	t := ticketOf(st)
	if withKey {
		if t.Key, err = a.ticketKey(keyFile); err != nil {
			return err
		}
		a.say("warning: the group key is in this ticket; whoever reads it can join the group and is trusted by it")
	}
	_, err = fmt.Fprintln(a.out, t)
	return err
}

func (a *app) ticketKey(file string) ([]byte, error) {
	if file == "" {
		dir := a.data
		if dir == "" {
			var err error
			if dir, err = defaultData(); err != nil {
				return nil, err
			}
		}
		file = filepath.Join(dir, keyFileName)
	}
	key, err := readKeyFile(file)
	if err != nil {
		return nil, fmt.Errorf("the group key: %w", err)
	}
	return key, nil
}

// ticketOf names a node first and then the other members, as many as fit.
func ticketOf(st logmesh.Status) logmesh.Ticket {
	t := logmesh.Ticket{Network: st.Network, Group: st.Group, Peers: st.Addrs}
	for _, m := range st.Members {
		if m.Self {
			continue
		}
		for _, addr := range m.Addrs {
			if !strings.Contains(addr, "/p2p/") {
				addr += "/p2p/" + string(m.Peer)
			}
			t.Peers = append(t.Peers, addr)
		}
	}
	t.Peers = t.Peers[:min(len(t.Peers), logmesh.MaxTicketPeers)]
	return t
}
