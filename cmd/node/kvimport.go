package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh/internal/api"
)

// importFlags are the flags of `kv import`.
type importFlags struct {
	skipLarger, skipSpecial, json bool
}

// importSummary is what an import did.
type importSummary struct {
	Keys    int64   `json:"keys"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Larger  int     `json:"larger"`  // left out: above the limit of a value
	Special int     `json:"special"` // left out: links, devices, pipes
}

func (a *app) kvImport() *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import DIR|FILE|-",
		Short: "Write a tree of files, or records",
		Long: `Write a tree of files, where a file's path below DIR becomes its key, or records from a
file or standard input: one JSON object a line with "key" and "value" or "value_base64".

Up to 64 writes or 8 MiB are in flight. Files above 1 MiB are listed and left out, and make
the command fail unless --skip-larger is given; links and devices likewise with --skip-special.
Empty directories leave no trace. If an import fails half-way, run it again: it writes the same.`,
		Example: "  logmesh kv import ./tree\n  logmesh kv import all.ndjson\n  logmesh kv scan --json | logmesh kv import - --node 127.0.0.1:6172",
		Args:    exactArgs("DIR|FILE|-"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importAll(cmd.Context(), args[0], flags)
		},
	}
	a.clientFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&flags.skipLarger, "skip-larger", false, "leaving out files above 1 MiB is no failure")
	f.BoolVar(&flags.skipSpecial, "skip-special", false, "leaving out links and devices is no failure")
	f.BoolVar(&flags.json, "json", false, "print the summary as JSON")
	return cmd
}

func (a *app) importAll(ctx context.Context, from string, flags importFlags) error {
	source, err := openSource(from, a.in)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	began := time.Now()
	sum, err := a.feed(ctx, c, source)
	sum.Seconds = time.Since(began).Seconds()
	a.summarize(sum, flags.json)
	if err != nil {
		return err
	}
	return leftOut(sum, flags)
}

// feed writes everything that source has.
func (a *app) feed(ctx context.Context, store api.Store, source source) (sum importSummary, err error) {
	p := newPipeline(ctx, store, a.timeout)
	shown := a.progress(func(d time.Duration) string { return rateLine(p.keys.Load(), p.sent.Load(), d) })
	readErr := source.each(func(f found) error {
		switch {
		case f.larger:
			sum.Larger++
			shown.say(a, "left out, above %d bytes: %s", api.MaxValue, quoted(f.key))
		case f.special:
			sum.Special++
			shown.say(a, "left out, not a regular file: %s", quoted(f.key))
		default:
			return p.put(f.key, f.value)
		}
		return nil
	})
	writeErr := p.wait()
	shown.stop()
	sum.Keys, sum.Bytes = p.keys.Load(), p.sent.Load()
	if writeErr != nil { // the reader only heard that the pipeline ended
		return sum, writeErr
	}
	return sum, readErr
}

func rateLine(keys, bytes int64, d time.Duration) string {
	seconds := max(d.Seconds(), 1e-3)
	return fmt.Sprintf("%s keys, %s MB in %s: %s MB/s, %s keys/s", grouped(keys), megabytes(bytes), roughly(d),
		megabytes(float64(bytes)/seconds), grouped(int64(float64(keys)/seconds)))
}

func (a *app) summarize(sum importSummary, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(a.out).Encode(sum) // the exit status tells the rest
		return
	}
	a.say("imported %s", rateLine(sum.Keys, sum.Bytes, time.Duration(sum.Seconds*float64(time.Second))))
}

func leftOut(sum importSummary, flags importFlags) error {
	var errs []error
	if sum.Larger > 0 && !flags.skipLarger {
		errs = append(errs, hinted(fmt.Errorf("%d files above %d bytes were left out", sum.Larger, api.MaxValue), "--skip-larger makes that no failure"))
	}
	if sum.Special > 0 && !flags.skipSpecial {
		errs = append(errs, hinted(fmt.Errorf("%d links or devices were left out", sum.Special), "--skip-special makes that no failure"))
	}
	return errors.Join(errs...)
}
