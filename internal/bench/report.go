package bench

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/logmesh/logmesh/codec"
)

// CatchupResult is what a bench of a catch-up found: medians, if there were several
// runs. docs/performance.md says what each field means. MB are millions of bytes.
type CatchupResult struct {
	Entries   int    `json:"entries"`
	EntrySize int    `json:"entry_size"`
	Peers     int    `json:"peers"`
	Machine   string `json:"machine"`
	Keys      int    `json:"keys,omitempty"`
	Memory    bool   `json:"memory"`
	Runs      int    `json:"runs"`
	Bytes     int64  `json:"bytes"` // of the log's blocks

	Seconds    float64 `json:"seconds"`
	EntriesPer float64 `json:"entries_per_s"`
	MBPer      float64 `json:"mb_per_s"`
	SteadyPer  float64 `json:"steady_entries_per_s,omitempty"`
	RawMBPer   float64 `json:"raw_mb_per_s"`
	RatioRaw   float64 `json:"ratio_raw"`
	LocalPer   float64 `json:"local_entries_per_s"`
	RatioLocal float64 `json:"ratio_local"`
	BarePer    float64 `json:"bare_entries_per_s,omitempty"`
	RatioBare  float64 `json:"ratio_bare,omitempty"`

	PeakMB    float64 `json:"joiner_peak_rss_mb"`
	Received  uint64  `json:"bytes_received"`
	Needed    uint64  `json:"bytes_needed"`
	CPUPer    float64 `json:"cpu_s_per_million_entries"`
	FirstMS   float64 `json:"time_to_first_applied_ms"`
	Share     []Share `json:"share"`
	WritesPer float64 `json:"writes_per_s"` // asked of the leader meanwhile
	Before    Latency `json:"leader_write_before"`
	During    Latency `json:"leader_write_during"`
}

// Share is what one peer gave, over all runs.
type Share struct {
	Peer  codec.PeerID `json:"peer"`
	Bytes uint64       `json:"bytes"`
	Share float64      `json:"share"` // of all that was given
}

// Latency is of acknowledged writes.
type Latency struct {
	Writes int     `json:"writes"`
	P50MS  float64 `json:"p50_ms"`
	P99MS  float64 `json:"p99_ms"`
}

// latencyOf sorts took, seconds.
func latencyOf(took []float64) (l Latency) {
	slices.Sort(took)
	l.Writes = len(took)
	if l.Writes > 0 {
		l.P50MS, l.P99MS = took[l.Writes/2]*1e3, took[l.Writes*99/100]*1e3
	}
	return l
}

// median is the middle of what of says of each run.
func median[T any](runs []T, of func(T) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	return middle(values)
}

// middle is the median of values, which it sorts: of an even number the mean of the
// middle two.
func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func (c *catchup) result(runs []catchupRun) CatchupResult {
	entries, bytes := float64(c.Entries), float64(c.written.Bytes)
	r := CatchupResult{
		Entries: c.Entries, EntrySize: c.Size, Peers: c.Peers, Machine: c.Machine, Memory: c.Memory, Runs: c.Runs,
		Bytes: c.written.Bytes, WritesPer: c.Writes,
		Seconds:    median(runs, func(r catchupRun) float64 { return r.full.Seconds }),
		SteadyPer:  median(runs, func(r catchupRun) float64 { return r.full.Steady }),
		RawMBPer:   median(runs, func(r catchupRun) float64 { return bytes / 1e6 / r.raw.Seconds }),
		RatioRaw:   median(runs, func(r catchupRun) float64 { return r.raw.Seconds / r.full.Seconds }),
		LocalPer:   median(runs, func(r catchupRun) float64 { return entries / r.local.Seconds }),
		RatioLocal: median(runs, func(r catchupRun) float64 { return r.local.Seconds / r.full.Seconds }),
		PeakMB:     median(runs, func(r catchupRun) float64 { return float64(r.full.Peak) / 1e6 }),
		Received:   uint64(median(runs, func(r catchupRun) float64 { return float64(r.full.Sync.Bytes + r.full.Sync.Doubled) })),
		Needed:     uint64(median(runs, func(r catchupRun) float64 { return float64(r.full.Sync.Bytes) })),
		CPUPer:     median(runs, func(r catchupRun) float64 { return r.full.CPU / entries * 1e6 }),
		FirstMS:    median(runs, func(r catchupRun) float64 { return r.full.First * 1e3 }),
	}
	r.EntriesPer, r.MBPer = entries/r.Seconds, bytes/1e6/r.Seconds
	if c.Machine == MachineKV {
		r.Keys = c.Keys
	}
	if c.Bare {
		r.BarePer = median(runs, func(r catchupRun) float64 { return entries / r.bare.Seconds })
		r.RatioBare = median(runs, func(r catchupRun) float64 { return r.bare.Seconds / r.full.Seconds })
	}
	r.Share = c.shares(runs)
	var before, during []float64
	for _, r := range runs {
		before, during = append(before, r.before...), append(during, r.during...)
	}
	r.Before, r.During = latencyOf(before), latencyOf(during)
	return r
}

// shares is in the order of the members.
func (c *catchup) shares(runs []catchupRun) []Share {
	given := map[codec.PeerID]uint64{}
	var sum uint64
	for _, r := range runs {
		for _, p := range r.full.Sync.Peers {
			given[p.Peer] += p.Bytes
			sum += p.Bytes
		}
	}
	out := make([]Share, len(c.peers))
	for i, p := range c.peers {
		out[i] = Share{Peer: p, Bytes: given[p], Share: float64(given[p]) / float64(max(sum, 1))}
	}
	return out
}

// Table writes the result for people.
func (r CatchupResult) Table(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) // Flush has the error
	}
	ledger := "durable"
	if r.Memory {
		ledger = "in memory"
	}
	row("log", "%d entries of %d B, %.1f MB in blocks, %d peers, machine %s", r.Entries, r.EntrySize, float64(r.Bytes)/1e6, r.Peers, r.Machine)
	row("joiner", "%s, %d run(s)", ledger, r.Runs)
	row("caught up", "%.3f s\t%.0f entries/s\t%.1f MB/s", r.Seconds, r.EntriesPer, r.MBPer)
	if r.SteadyPer > 0 {
		row("once steady", "\t%.0f entries/s", r.SteadyPer)
	}
	row("raw stream", "\t\t%.1f MB/s\tratio %.2f", r.RawMBPer, r.RatioRaw)
	row("local replay", "\t%.0f entries/s\t\tratio %.2f", r.LocalPer, r.RatioLocal)
	if r.RatioBare > 0 {
		row("bare pipeline", "\t%.0f entries/s\t\tratio %.2f", r.BarePer, r.RatioBare)
	}
	row("first applied", "%.0f ms", r.FirstMS)
	row("processor", "%.2f s per million entries", r.CPUPer)
	row("peak memory", "%.1f MB", r.PeakMB)
	row("received", "%.1f MB, needed %.1f MB", float64(r.Received)/1e6, float64(r.Needed)/1e6)
	for i, s := range r.Share {
		row(fmt.Sprintf("from peer %d", i+1), "%.1f MB\t%.0f %%", float64(s.Bytes)/1e6, s.Share*100)
	}
	if r.WritesPer > 0 {
		row("leader's writes", "p50\tp99")
		row("  before", "%.2f ms\t%.2f ms", r.Before.P50MS, r.Before.P99MS)
		row("  during", "%.2f ms\t%.2f ms", r.During.P50MS, r.During.P99MS)
	}
	return w.Flush()
}
