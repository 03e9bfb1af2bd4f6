package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/api"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show a node and its group on one screen",
		Long: `Show a node and its group on one screen of 80 columns.

Exit status 0 if the group is usable through this node and nothing is wrong; 1 if it is not,
if there are alerts, or if no node answers; 2 for wrong use. --json prints everything there is
to know. --format prints what a Go template makes of it, with the fields of logmesh.Status; it
and --json succeed whenever the node answers.

Members tell the leader how far they are: ask it for how far each trails. Another node knows that
of itself only, and shows ? for the rest.

Functions for templates: MB (bytes to megabytes), seconds (of a duration), share (percent of
two numbers) and json.`,
		Example: `  logmesh status
  logmesh status --json
  logmesh status --format '{{.Applied}} {{.Digest}}'
  logmesh status --format '{{range .Members}}{{.Peer}} {{.Trails}}{{"\n"}}{{end}}'`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON && format != "" {
				return usagef("--json and --format exclude each other")
			}
			show, err := statusPrinter(asJSON, format)
			if err != nil {
				return err
			}
			return a.status(cmd.Context(), show)
		},
	}
	a.clientFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&format, "format", "", "print what this Go `template` makes of the status")
	return cmd
}

// printer writes a status and says whether it is one of a healthy node.
type printer func(w io.Writer, st logmesh.Status) error

var errUnhealthy = silentError{errors.New("not healthy")}

func statusPrinter(asJSON bool, format string) (printer, error) {
	if asJSON {
		return func(w io.Writer, st logmesh.Status) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(st)
		}, nil
	}
	if format != "" {
		return templatePrinter(format)
	}
	return func(w io.Writer, st logmesh.Status) error {
		if _, err := io.WriteString(w, screen(st)); err != nil {
			return err
		}
		if api.NotReady(st) != "" || len(st.Alerts) > 0 {
			return errUnhealthy
		}
		return nil
	}, nil
}

func templatePrinter(format string) (printer, error) {
	t, err := template.New("format").Funcs(template.FuncMap{
		"MB":      templateMB,
		"seconds": func(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) },
		"share":   templateShare,
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
	}).Parse(format)
	if err != nil {
		return nil, usagef("--format: %w", err)
	}
	return func(w io.Writer, st logmesh.Status) error {
		var b strings.Builder
		if err := t.Execute(&b, st); err != nil {
			return usagef("--format: %w", err)
		}
		if !strings.HasSuffix(b.String(), "\n") {
			b.WriteByte('\n')
		}
		_, err := io.WriteString(w, b.String())
		return err
	}, nil
}

func templateMB(n any) (string, error) {
	switch n := n.(type) {
	case uint64:
		return megabytes(n), nil
	case int64:
		return megabytes(n), nil
	case float64:
		return megabytes(n), nil
	}
	return "", fmt.Errorf("MB takes a number of bytes, not %T", n)
}

func templateShare(part, whole uint64) string { return percent(part, whole) }

func (a *app) status(ctx context.Context, show printer) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := a.limit(ctx)
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	return show(a.out, st)
}
