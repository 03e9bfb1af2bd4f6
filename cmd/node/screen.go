package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
)

// The screen that a status fits on.
const (
	screenColumns = 80
	screenLines   = 24
)

// screen is a status for people: at most 80 columns and 24 lines, plain text.
func screen(st logmesh.Status) string {
	var lines []string
	add := func(name, format string, args ...any) {
		lines = append(lines, cut(fmt.Sprintf("%-10s", name)+fmt.Sprintf(format, args...)))
	}
	add("node", "%s  %s", st.Peer, st.Role)
	add("group", "%s in %s  %s  log %s", st.Group, st.Network, st.Machine, st.Log.Short())
	add("phase", "%s", phase(st))
	add("leader", "%s  term %d", leader(st), st.Term)
	add("committed", "%s  applied %s  last %s", grouped(uint64(st.Committed)), grouped(uint64(st.Applied)), grouped(uint64(st.Last)))
	add("digest", "%s at index %s", shortHash(st.Digest), grouped(uint64(st.Applied)))
	if st.BlockEnd > 0 {
		add("", "%s at block end %s", shortHash(st.BlockDigest), grouped(uint64(st.BlockEnd)))
	}
	add("stored", "%s blocks, %s MB on disk", grouped(st.Blocks), megabytes(st.DiskBytes))
	for _, alert := range st.Alerts[:min(len(st.Alerts), 3)] {
		add("ALERT", "%s", alert)
	}
	lines = append(lines, syncLines(st)...)
	return strings.Join(append(lines, memberLines(st, screenLines-len(lines)-1)...), "\n") + "\n"
}

// cut keeps a line within the screen, and one line: what peers say may hold
// anything.
func cut(line string) string {
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, line)
	if runes := []rune(line); len(runes) > screenColumns {
		return string(runes[:screenColumns-1]) + "…"
	}
	return strings.TrimRight(line, " ")
}

func phase(st logmesh.Status) string {
	why := api.NotReady(st)
	if why == "" {
		return string(st.Phase)
	}
	if st.Phase == logmesh.PhaseOnline {
		return string(st.Phase) + ", but " + why
	}
	return why
}

func leader(st logmesh.Status) string {
	if st.Leader == "" {
		return "none known"
	}
	return string(st.Leader)
}

// shortHash is the first half of a hash: enough to compare by eye.
func shortHash(h codec.Hash) string { return h.String()[:32] }

func percent(part, whole uint64) string {
	if whole == 0 {
		return "0 %"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}

// syncLines is what a start or a catch-up is doing.
func syncLines(st logmesh.Status) (lines []string) {
	if r := st.Replay; r != nil {
		lines = append(lines, cut(fmt.Sprintf("replay    %s of %s entries (%s)  %s entries/s  %s", grouped(uint64(r.Index)), grouped(uint64(r.Of)),
			percent(uint64(r.Index), uint64(r.Of)), grouped(int64(r.PerSec)), timeLeft(r.Left))))
	}
	if s := st.Sync; s != nil && s.Needed > 0 {
		lines = append(lines, cut("catch-up  "+syncLine(*s)))
		if s.Waiting != "" {
			lines = append(lines, cut("          waiting for: "+s.Waiting))
		}
		return append(lines, givers(*s)...)
	}
	if s := st.LastSync; s != nil && (s.Needed > s.From || s.Error != "") {
		how := "done"
		if s.Error != "" {
			how = "failed: " + s.Error
		}
		lines = append(lines, cut(fmt.Sprintf("catch-up  %s: %s blocks, %s MB in %s at %s MB/s", how, grouped(s.Done-min(s.Done, s.From)), megabytes(s.Bytes), roughly(s.Elapsed), megabytes(s.PerSec))))
	}
	return lines
}

// syncLine is a catch-up in one line.
func syncLine(s logmesh.SyncStatus) string {
	return fmt.Sprintf("%s of %s blocks (%s)  %s MB  %s MB/s  %s", grouped(s.Done), grouped(s.Needed), percent(s.Done, s.Needed),
		megabytes(s.Bytes), megabytes(s.PerSec), timeLeft(s.Left))
}

func timeLeft(d time.Duration) string {
	if d < 0 {
		return "time left unknown"
	}
	return roughly(d) + " left"
}

// givers is the table of what each peer gave, greatest first, five at most.
func givers(s logmesh.SyncStatus) []string {
	peers := slices.Clone(s.Peers)
	slices.SortStableFunc(peers, func(a, b logmesh.SyncPeer) int { return int(b.Blocks) - int(a.Blocks) })
	total := uint64(0)
	for _, p := range peers {
		total += p.Bytes
	}
	rows := [][]string{{"  from", "state", "blocks", "MB", "MB/s", "share"}}
	for _, p := range peers[:min(len(peers), 5)] {
		name := "  " + p.Peer.Short()
		if p.Leader {
			name += " leader"
		}
		rows = append(rows, []string{name, p.State, grouped(p.Blocks), megabytes(p.Bytes), megabytes(p.PerSec), percent(p.Bytes, total)})
	}
	if more := len(peers) - 5; more > 0 {
		rows = append(rows, []string{fmt.Sprintf("  and %d more", more)})
	}
	return table(rows)
}

// memberLines is the table of members in at most limit lines.
func memberLines(st logmesh.Status, limit int) []string {
	rows := [][]string{{"", "member", "role", "link", "trails", "address"}}
	members := st.Members
	if len(members)+1 > limit {
		members = members[:max(0, limit-2)]
	}
	for _, m := range members {
		rows = append(rows, []string{mark(m), m.Peer.Short(), m.Role.String(), link(m), trails(m), addr(m)})
	}
	if more := len(st.Members) - len(members); more > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("and %d more: --json lists all", more)})
	}
	if len(st.Members) == 0 {
		return []string{"no members known yet"}
	}
	return table(rows)
}

func mark(m logmesh.MemberStatus) string {
	if m.Leader {
		return "*"
	}
	return ""
}

func link(m logmesh.MemberStatus) string {
	switch {
	case m.Self:
		return "this node"
	case m.Connected:
		return "up"
	}
	return "down"
}

func trails(m logmesh.MemberStatus) string {
	if m.Trails < 0 {
		return "?"
	}
	return grouped(m.Trails)
}

func addr(m logmesh.MemberStatus) string {
	if len(m.Addrs) == 0 {
		return "?"
	}
	first, _, _ := strings.Cut(m.Addrs[0], "/p2p/")
	if len(m.Addrs) > 1 {
		first += fmt.Sprintf(" +%d", len(m.Addrs)-1)
	}
	return first
}

// table aligns rows.
func table(rows [][]string) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // into memory
	}
	_ = w.Flush() // into memory
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i, line := range lines {
		lines[i] = cut(line)
	}
	return lines
}
