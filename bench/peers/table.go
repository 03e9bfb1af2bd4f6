package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// The rows that the others are compared with.
const (
	oursDurable = "logmesh-durable"
	oursMemory  = "logmesh-memory"
)

// line is a row of the table, as JSON has it. Figures are medians; 0: not known.
type line struct {
	Row            string  `json:"row"`
	System         string  `json:"system"`
	Durable        bool    `json:"durable"`
	Runs           int     `json:"runs"`
	Entries        float64 `json:"entries"` // applied
	Seconds        float64 `json:"seconds"`
	EntriesPerS    float64 `json:"entries_per_s"`
	DurableTimes   float64 `json:"logmesh_durable_times"` // our rate by this one
	MemoryTimes    float64 `json:"logmesh_memory_times"`
	FirstMS        float64 `json:"time_to_first_applied_ms"`
	JoinerCPU      float64 `json:"joiner_cpu_s_per_million_entries"`
	CPU            float64 `json:"cpu_s_per_million_entries"` // all processes
	PeakMB         float64 `json:"joiner_peak_rss_mb"`
	Note           string  `json:"note,omitempty"`
	LeftOutBecause string  `json:"left_out_because,omitempty"`
}

func lines(o options, outcomes []outcome) []line {
	find := func(name string) *outcome {
		for i := range outcomes {
			if outcomes[i].name == name {
				return &outcomes[i]
			}
		}
		return nil
	}
	durable, memory := find(oursDurable), find(oursMemory)
	all := make([]line, len(outcomes))
	for i, out := range outcomes {
		all[i] = lineOf(out, o.work)
		all[i].DurableTimes, all[i].MemoryTimes = out.times(durable), out.times(memory)
	}
	return all
}

func lineOf(o outcome, w work) line {
	l := line{
		Row: o.name, System: o.system, Durable: o.durable, Runs: len(o.samples),
		Entries:     o.median(func(s sample) float64 { return float64(s.Applied) }),
		Seconds:     o.median(func(s sample) float64 { return s.Took.Seconds() }),
		EntriesPerS: o.median(sample.rate),
		FirstMS:     o.median(func(s sample) float64 { return s.First.Seconds() * 1e3 }),
		JoinerCPU:   o.median(func(s sample) float64 { return s.perMillion(s.Joiner) }),
		CPU:         o.median(func(s sample) float64 { return s.perMillion(s.Everyone) }),
		PeakMB:      o.median(func(s sample) float64 { return float64(s.Peak) / 1e6 }),
	}
	var notes []string
	if o.note != "" {
		notes = append(notes, o.note)
	}
	if l.Runs > 0 && l.Entries < float64(w.Entries) {
		notes = append(notes, fmt.Sprintf("stopped at the limit, after %.0f %% of the log", 100*l.Entries/float64(w.Entries)))
	}
	if o.skipped != nil {
		l.LeftOutBecause = o.skipped.Error()
		notes = append(notes, fmt.Sprintf("left out after %d runs: %s", l.Runs, strings.Join(strings.Fields(l.LeftOutBecause), " ")))
	}
	l.Note = strings.Join(notes, "; ")
	return l
}

func printJSON(out io.Writer, o options, outcomes []outcome) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Entries uint64 `json:"entries"`
		Size    int    `json:"entry_size"`
		Peers   int    `json:"peers"`
		Runs    int    `json:"runs"`
		Rows    []line `json:"rows"`
	}{o.work.Entries, o.work.Size, o.peers, o.runs, lines(o, outcomes)})
}

// printTable prints Markdown.
func printTable(out io.Writer, o options, outcomes []outcome) error {
	rounds := 0
	for _, o := range outcomes {
		rounds = max(rounds, len(o.samples))
	}
	fmt.Fprintf(out, "%d entries of %d bytes, medians of %d runs in turn\n\n", o.work.Entries, o.work.Size, rounds)
	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	cells(t, "system", "durable", "entries/s", "logmesh durable", "logmesh in memory",
		"first applied, ms", "joiner: CPU s per million", "all: CPU s", "joiner: peak MB", "notes")
	cells(t, "---", "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---")
	for _, l := range lines(o, outcomes) {
		durable := "no"
		if l.Durable {
			durable = "yes"
		}
		cells(t, l.System, durable, number("%.0f", l.EntriesPerS), number("%.2g ×", l.DurableTimes), number("%.2g ×", l.MemoryTimes),
			number("%.0f", l.FirstMS), number("%.2f", l.JoinerCPU), number("%.2f", l.CPU), number("%.0f", l.PeakMB), l.Note)
	}
	return t.Flush()
}

// number is a cell; 0: not known.
func number(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}

func cells(t io.Writer, texts ...string) {
	for _, text := range texts {
		fmt.Fprintf(t, "| %s\t", text)
	}
	fmt.Fprintln(t, "|")
}
