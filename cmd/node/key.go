package main

import (
	"github.com/spf13/cobra"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Group keys"}
	cmd.AddCommand(&cobra.Command{
		Use:     "new FILE",
		Short:   "Make a file with a new group key",
		Long:    "Make a file with a new group key: 32 random bytes in base64, mode 0600. An existing file is never overwritten.\nWhoever has the key can join the group and is trusted by all of it.",
		Example: "  logmesh key new group.key\n  logmesh run --found --group-key group.key",
		Args:    exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := newKeyFile(args[0]); err != nil {
				return err
			}
			a.say("wrote a new group key to %s", args[0])
			return nil
		},
	})
	parent(cmd)
	return cmd
}
