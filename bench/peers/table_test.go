package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Ratios are medians of each round's, not ratios of medians: what a round's rows
// have in common, such as a busy machine, goes away.
func TestTable(t *testing.T) {
	runs := func(rates ...uint64) (out []sample) {
		for _, r := range rates {
			out = append(out, sample{Applied: r, Took: time.Second, First: 20 * time.Millisecond, Joiner: time.Millisecond, Peak: 5e6})
		}
		return out
	}
	outcomes := []outcome{
		{row: row{name: oursDurable, system: "logmesh", durable: true}, samples: runs(1000, 300, 800)},
		{row: row{name: "other", system: "other", note: "TCP"}, samples: runs(100, 50, 200)},
		{row: row{name: "broken", system: "broken"}, skipped: errors.New("it\nfell")},
	}
	var out strings.Builder
	if err := printTable(&out, options{work: work{Entries: 200, Size: 10}, runs: 3}, outcomes); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.Join(strings.Fields(out.String()), " "), "| system")[1]
	for _, want := range []string{
		"| logmesh | yes | 800 | 1 × | - | 20 | 1.25 | - | 5 |",
		"| other | no | 100 | 6 × | - | 20 | 10.00 | - | 5 | TCP; stopped at the limit, after 50 % of the log |",
		"| broken | no | - | - | - | - | - | - | - | left out after 0 runs: it fell |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line\n%s\nin\n%s", want, out.String())
		}
	}
}

func TestRowsNamed(t *testing.T) {
	rows, err := rowsNamed("etcd-memory," + oursDurable)
	if err != nil || len(rows) != 2 || rows[0].name != oursDurable || rows[1].name != "etcd-memory" {
		t.Errorf("got %v, %v", rows, err)
	}
	if _, err := rowsNamed("etcd-memory,x"); err == nil || !strings.Contains(err.Error(), `no row "x"; the rows are logmesh-durable, `) {
		t.Errorf("got %v", err)
	}
}
