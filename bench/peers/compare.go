package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// compare measures the rows in turn, as often as there are runs, so that what
// else the machine does meets all of them, and prints the table.
func compare(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	rows, err := rowsNamed(o.rows)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "logmesh-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	outcomes := make([]outcome, len(rows))
	for i, r := range rows {
		outcomes[i].row = r
	}
	r := run{
		work: o.work, state: foldOf(o.work), peers: o.peers, limit: o.limit,
		program: sync.OnceValues(func() (string, error) {
			if o.logmesh != "" {
				return o.logmesh, nil
			}
			return build(ctx, dir)
		}),
	}
	for n := range o.runs {
		for i := range outcomes {
			outcomes[i].add(ctx, r, filepath.Join(dir, fmt.Sprintf("%d-%d", n, i)))
		}
	}
	show := printTable
	if o.json {
		show = printJSON
	}
	return errors.Join(show(os.Stdout, o, outcomes), ctx.Err()) // an interrupt shows what there is
}
