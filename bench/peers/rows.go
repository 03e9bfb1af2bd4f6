package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// row is one line of the table.
type row struct {
	name    string
	system  string // as the table says it
	durable bool
	note    string
	measure func(ctx context.Context, r run) (sample, error)
}

// run is one run of a row.
type run struct {
	row   string
	work  work
	state uint64 // what a whole run folds to
	peers int    // servers of those rows that take from several
	limit time.Duration
	dir   string // empty, for the run alone

	program func() (string, error) // the path of logmesh, which it makes
}

// patience is how long a run may take besides the limit: making logs, stopping.
const patience = 10 * time.Minute

// opener makes a member of a row: see member. A follower applies to f.
type opener func(s spec, f *fold) (member, error)

// pair is a row that runs in processes of this program.
type pair struct {
	row
	servers int // -1: as many as the run has peers
	open    opener
}

// pairs are all rows but logmesh's own, in the order of the table.
var pairs = func() []pair {
	hc := func(n int, durable bool) opener { return hashicorp{n, durable}.open }
	const tcp = "TCP"
	return []pair{
		{row{name: "hashicorp-memory-64", system: "hashicorp/raft, MaxAppendEntries 64 (default)", note: tcp}, 1, hc(64, false)},
		{row{name: "hashicorp-memory", system: "hashicorp/raft, MaxAppendEntries 1024", note: tcp}, 1, hc(1024, false)},
		{row{name: "hashicorp-inprocess", system: "hashicorp/raft, MaxAppendEntries 1024", note: "both nodes in one process, InmemTransport: nothing is encoded"}, 0, hashicorp{1024, false}.openBoth},
		{row{name: "hashicorp-durable-64", system: "hashicorp/raft, raft-boltdb, MaxAppendEntries 64 (default)", durable: true, note: tcp}, 1, hc(64, true)},
		{row{name: "hashicorp-durable", system: "hashicorp/raft, raft-boltdb, MaxAppendEntries 1024", durable: true, note: tcp}, 1, hc(1024, true)},
		{row{name: "etcd-memory", system: "go.etcd.io/raft, MsgApp of 1 MiB, 64 in flight", note: "libp2p"}, 1, etcd{1 << 20, 64}.open},
		{row{name: "fixed-memory", system: "fixed scheduler of the earlier design (baseline)", note: "libp2p; 2,000 entries a request, one in flight for each peer, applied at the end"}, -1, openFixed},
	}
}()

func pairNamed(name string) (opener, error) {
	i := slices.IndexFunc(pairs, func(p pair) bool { return p.name == name })
	if i < 0 {
		return nil, fmt.Errorf("no row %q", name)
	}
	return pairs[i].open, nil
}

// rowsNamed picks rows by a list of names, in the table's order; "" is all.
func rowsNamed(list string) ([]row, error) {
	all := allRows()
	if list == "" {
		return all, nil
	}
	names, out := strings.Split(list, ","), []row(nil)
	for _, r := range all {
		if i := slices.Index(names, r.name); i >= 0 {
			out, names = append(out, r), slices.Delete(names, i, i+1)
		}
	}
	if len(names) > 0 {
		var known []string
		for _, r := range all {
			known = append(known, r.name)
		}
		return nil, fmt.Errorf("no row %q; the rows are %s", names[0], strings.Join(known, ", "))
	}
	return out, nil
}

func allRows() []row {
	out := []row{
		{name: oursDurable, system: "logmesh", durable: true, note: "libp2p; proved; joined to 3 members", measure: ours{}.run},
		{name: oursMemory, system: "logmesh, the joiner in memory", note: "libp2p; proved", measure: ours{memory: true}.run},
	}
	for _, p := range pairs {
		p.measure = p.run
		out = append(out, p.row)
	}
	return out
}
