package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh/internal/api"
)

func (a *app) kvCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kv",
		Short: "Read and write the group's key-value map",
		Example: `  logmesh kv put greeting hello
  logmesh kv get greeting
  logmesh kv scan --keys-only src/
  logmesh kv import ./tree && logmesh kv export ./copy`,
	}
	cmd.AddCommand(a.kvGet(), a.kvPut(), a.kvDel(), a.kvCAS(), a.kvScan(), a.kvImport(), a.kvExport())
	parent(cmd)
	return cmd
}

// asking makes the body of a command that asks a node once.
func (a *app) asking(do func(ctx context.Context, c *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := a.limit(cmd.Context())
		defer cancel()
		return do(ctx, c, args)
	}
}

// record is a key with its value as JSON: a value that is text as it is,
// another one in base64. `kv scan --json` writes records, one a line, and `kv
// import` reads them.
type record struct {
	Key    string  `json:"key"`
	Value  *string `json:"value,omitempty"`
	Base64 []byte  `json:"value_base64,omitempty"`
}

func recordOf(key string, value []byte) record {
	if !utf8.Valid(value) {
		return record{Key: key, Base64: value}
	}
	text := string(value)
	return record{Key: key, Value: &text}
}

func readFlag(cmd *cobra.Command, local *bool) {
	cmd.Flags().BoolVar(local, "local", false, "read what this member has applied, without asking the group")
}

func readOf(local bool) api.Read {
	if local {
		return api.Local
	}
	return api.Strong
}

func (a *app) kvGet() *cobra.Command {
	var local, asJSON bool
	cmd := &cobra.Command{
		Use:     "get KEY",
		Short:   "Print a value",
		Long:    "Print a value to standard output, byte for byte. Fails if the key has none.",
		Example: "  logmesh kv get greeting\n  logmesh kv get net/http/server.go > server.go",
		Args:    exactArgs("KEY"),
	}
	cmd.RunE = a.asking(func(ctx context.Context, c *api.Client, args []string) error {
		if err := checkKey(args[0]); err != nil {
			return err
		}
		v, err := c.Get(ctx, args[0], readOf(local))
		if err != nil {
			return err
		}
		if !v.Found {
			return fmt.Errorf("no value under %q (read at index %d)", args[0], v.Index)
		}
		if asJSON {
			return json.NewEncoder(a.out).Encode(recordOf(args[0], v.Data))
		}
		_, err = a.out.Write(v.Data)
		return err
	})
	a.clientFlags(cmd)
	readFlag(cmd, &local)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {key, value or value_base64}")
	return cmd
}

// checkKey makes a key that no node would take a usage error.
func checkKey(key string) error {
	if err := api.CheckKey(key); err != nil {
		return usageError{err}
	}
	return nil
}

func (a *app) kvPut() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "put KEY VALUE",
		Short:   "Write a value",
		Long:    "Write a value; - reads it from standard input, --file from a file.",
		Example: "  logmesh kv put greeting hello\n  date | logmesh kv put now -\n  logmesh kv put readme --file README.md",
		Args: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return exactArgs("KEY")(cmd, args)
			}
			return exactArgs("KEY", "VALUE")(cmd, args)
		},
	}
	cmd.RunE = a.asking(func(ctx context.Context, c *api.Client, args []string) error {
		if err := checkKey(args[0]); err != nil {
			return err
		}
		value, err := a.value(args[1:], file)
		if err != nil {
			return err
		}
		w, err := c.Put(ctx, args[0], value)
		return a.wrote(w, err, "written", asJSON)
	})
	a.clientFlags(cmd)
	cmd.Flags().StringVar(&file, "file", "", "read the value from `FILE`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {index, existed}")
	return cmd
}

// value is the value to write: a file's content, standard input, or the
// argument itself.
func (a *app) value(args []string, file string) (value []byte, err error) {
	switch {
	case file != "":
		value, err = os.ReadFile(file)
	case args[0] == "-":
		value, err = io.ReadAll(io.LimitReader(a.in, api.MaxValue+1))
	default:
		value = []byte(args[0])
	}
	if err == nil && len(value) > api.MaxValue {
		err = fmt.Errorf("the value has more than %d bytes", api.MaxValue)
	}
	return value, err
}

// wrote says how a write went.
func (a *app) wrote(w api.Written, err error, what string, asJSON bool) error {
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(a.out).Encode(w)
	}
	a.say("%s at index %d", what, w.Index)
	return nil
}

func (a *app) kvDel() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "del KEY",
		Aliases: []string{"delete", "rm"},
		Short:   "Remove a key",
		Long:    "Remove a key. A key that has no value is no failure.",
		Example: "  logmesh kv del greeting",
		Args:    exactArgs("KEY"),
	}
	cmd.RunE = a.asking(func(ctx context.Context, c *api.Client, args []string) error {
		if err := checkKey(args[0]); err != nil {
			return err
		}
		w, err := c.Delete(ctx, args[0])
		what := "deleted"
		if !w.Existed {
			what = "there was no value"
		}
		return a.wrote(w, err, what, asJSON)
	})
	a.clientFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {index, existed}")
	return cmd
}

func (a *app) kvCAS() *cobra.Command {
	var absent, remove, asJSON bool
	names := func() []string {
		switch {
		case absent:
			return []string{"KEY", "NEW"}
		case remove:
			return []string{"KEY", "OLD"}
		}
		return []string{"KEY", "OLD", "NEW"}
	}
	cmd := &cobra.Command{
		Use:   "cas KEY OLD NEW",
		Short: "Compare and swap: write only if the value is the expected one",
		Long: `Compare and swap: write NEW only if the value is OLD. Fails, and changes nothing, if
it is another one. --absent expects no value and takes KEY NEW; --delete removes the key and
takes KEY OLD.`,
		Example: "  logmesh kv cas lock --absent me\n  logmesh kv cas counter 1 2\n  logmesh kv cas lock --delete me",
		Args: func(cmd *cobra.Command, args []string) error {
			if absent && remove {
				return usagef("--absent and --delete exclude each other")
			}
			return exactArgs(names()...)(cmd, args)
		},
	}
	cmd.RunE = a.asking(func(ctx context.Context, c *api.Client, args []string) error {
		if err := checkKey(args[0]); err != nil {
			return err
		}
		swap := api.Swap{Old: []byte(args[1]), New: []byte(args[len(args)-1])}
		if absent {
			swap.Old = nil
		}
		if remove {
			swap.New = nil
		}
		w, err := c.Swap(ctx, args[0], swap)
		return a.wrote(w, err, "swapped", asJSON)
	})
	a.clientFlags(cmd)
	cmd.Flags().BoolVar(&absent, "absent", false, "expect that the key has no value")
	cmd.Flags().BoolVar(&remove, "delete", false, "remove the key instead of writing it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print {index, existed}")
	return cmd
}

func (a *app) kvScan() *cobra.Command {
	var local, asJSON bool
	var q api.ScanQuery
	cmd := &cobra.Command{
		Use:   "scan [PREFIX]",
		Short: "List keys in byte order, with their values",
		Long: `List keys in byte order, with their values: key, tab, value, one a line, quoted as Go
does where they hold anything but printable text. --json prints records that "kv import" reads.`,
		Example: "  logmesh kv scan --keys-only\n  logmesh kv scan src/ --limit 10\n  logmesh kv scan --json > all.ndjson",
		Args:    cobra.MaximumNArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if q.Limit < 0 {
			return usagef("--limit %d: it must be 0 (all) or more", q.Limit)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		if len(args) == 1 {
			q.Prefix = args[0]
		}
		q.Read = readOf(local)
		return a.eachItem(cmd.Context(), c, q, func(item api.Item) error { return a.printItem(item, q.KeysOnly, asJSON) })
	}
	a.clientFlags(cmd)
	readFlag(cmd, &local)
	f := cmd.Flags()
	f.IntVar(&q.Limit, "limit", 0, "at most so many keys; 0: all")
	f.StringVar(&q.After, "after", "", "only keys above this `KEY`")
	f.BoolVar(&q.KeysOnly, "keys-only", false, "no values")
	f.BoolVar(&asJSON, "json", false, "print records, one a line: {key, value or value_base64}")
	return cmd
}

// eachItem reads page after page and hands on each item; q.Limit 0 means all.
// --timeout bounds each page.
func (a *app) eachItem(ctx context.Context, store api.Store, q api.ScanQuery, do func(api.Item) error) error {
	left := q.Limit
	for {
		q.Limit = scanPage
		if left > 0 {
			q.Limit = min(left, scanPage)
		}
		page, err := a.page(ctx, store, q)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := do(item); err != nil {
				return err
			}
			q.After = item.Key
		}
		if left > 0 {
			if left -= len(page.Items); left <= 0 {
				return nil
			}
		}
		if !page.More || len(page.Items) == 0 {
			return nil
		}
	}
}

// scanPage is how many keys are asked for at once.
const scanPage = 500

func (a *app) page(ctx context.Context, store api.Store, q api.ScanQuery) (api.Page, error) {
	ctx, cancel := a.limit(ctx)
	defer cancel()
	return store.Scan(ctx, q)
}

func (a *app) printItem(item api.Item, keysOnly, asJSON bool) (err error) {
	switch {
	case asJSON && keysOnly:
		return json.NewEncoder(a.out).Encode(record{Key: item.Key})
	case asJSON:
		return json.NewEncoder(a.out).Encode(recordOf(item.Key, item.Value))
	case keysOnly:
		_, err = fmt.Fprintln(a.out, quoted(item.Key))
	default:
		_, err = fmt.Fprintf(a.out, "%s\t%s\n", quoted(item.Key), quoted(string(item.Value)))
	}
	return err
}

// quoted is s itself if it is plain text on one line, else a Go string literal.
func quoted(s string) string {
	if q := strconv.Quote(s); len(q) != len(s)+2 {
		return q
	}
	return s
}
