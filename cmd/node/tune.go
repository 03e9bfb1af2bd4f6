package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) tuneCommand() *cobra.Command {
	var rate byteRate
	cmd := &cobra.Command{
		Use:     "tune --serve-rate BYTES/s",
		Short:   "Change a running node's limits",
		Long:    "Change how fast a running node serves blocks to members that catch up. A restart goes back to the flag of `logmesh run`.",
		Example: "  logmesh tune --serve-rate 8MiB\n  logmesh tune --serve-rate 0        no limit",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("serve-rate") {
				return usagef("nothing to change: give --serve-rate")
			}
			return a.tune(cmd.Context(), int64(rate))
		},
	}
	a.clientFlags(cmd)
	cmd.Flags().Var(&rate, "serve-rate", "at most so many bytes per second to members that catch up; 0: no limit")
	return cmd
}

func (a *app) tune(ctx context.Context, rate int64) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	return c.SetServeRate(ctx, rate)
}
