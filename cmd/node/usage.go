package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/api"
)

// usageError is a wrong use of the command line: exit status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// hintedError has a sentence on what to do next.
type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }

func hinted(err error, format string, args ...any) error {
	return hintedError{err, fmt.Sprintf(format, args...)}
}

// silentError fails without another word: everything was said already.
type silentError struct{ error }

// report says what err is and returns the exit status.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	if !errors.As(err, new(silentError)) {
		a.say("logmesh: %v", err)
		var hint hintedError
		var failed *api.Error
		switch {
		case errors.As(err, &hint):
			a.say("  %s", hint.hint)
		case errors.As(err, &failed) && failed.Hint != "":
			a.say("  %s", failed.Hint)
		}
	}
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.Is(err, logmesh.ErrRemoved):
		return exitRemoved
	}
	return exitFailure
}

// flagError names the nearest flag to an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	hint := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if name := nearest(unknown.GetSpecifiedName(), names); name != "" {
			hint = fmt.Sprintf("did you mean --%s?", name)
		}
	}
	return hinted(usageError{err}, "%s", hint)
}

// parent gives a command that only has sub-commands an error for unknown ones.
func parent(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		err := usagef("unknown command %q for `%s`", args[0], cmd.CommandPath())
		if name := nearest(args[0], names); name != "" {
			return hinted(err, "did you mean `%s %s`?", cmd.CommandPath(), name)
		}
		return hinted(err, "commands: %s", strings.Join(names, ", "))
	}
}

// exactArgs wants the arguments that a command's Use line names.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := fmt.Sprintf("use: %s", cmd.UseLine())
		if len(args) < len(names) {
			return hinted(usagef("%s is missing", names[len(args)]), "%s", hint)
		}
		if len(args) > len(names) {
			return hinted(usagef("unexpected argument %q", args[len(names)]), "%s", hint)
		}
		return nil
	}
}

// nearest is the name that a typing error most likely meant, or nothing.
func nearest(word string, names []string) string {
	best, at := "", max(1, len(word)/2)+1
	for _, name := range names {
		if d := distance(word, name); d < at {
			best, at = name, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := above
			if a[i] != b[j] {
				cost = 1 + min(above, row[j], row[j+1])
			}
			above, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
