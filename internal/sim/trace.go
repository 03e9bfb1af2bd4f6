package sim

import (
	"fmt"
	"time"
)

// trace is what happened: always as a hash, and as lines for people on request.
type trace struct {
	on    bool
	hash  uint64
	lines []string
}

// Kinds of notes, with what their numbers mean.
var noteFormats = map[byte]string{
	'+': "member %d starts, its log ends at %d",
	'-': "member %d crashes, its log ended at %d",
	'x': "member %d was removed",
	'b': "members %d and %d: bond %d",
	'L': "member %d leads term %d, its log ends at %d",
	'c': "decided: entry %d of term %d, %d bytes",
	'C': "configuration at %d: %d members, %d of them voters",
	'd': "member %d puts member %d out, which forged",
	's': "member %d: catch-up from block %d ends, %d blocks here",
	'A': "member %d adopts %d@%d",
	'a': "member %d applied %d, digest %x",
	'w': "write %d: index %d, known %d",
	'r': "read %d: at index %d, found %d",
	'h': "everything heals",
}

// note adds what happened to the hash, and to the lines if they are wanted.
func (w *World) note(kind byte, a, b, c uint64) {
	t := &w.trace
	for _, x := range [...]uint64{uint64(w.time.now), uint64(kind), a, b, c} {
		t.hash = (t.hash ^ x) * 0x9e3779b97f4a7c15
		t.hash ^= t.hash >> 29
	}
	if !t.on || kind == 'c' || kind == 'a' || kind == '!' {
		return
	}
	args := []any{a, b, c}
	format := noteFormats[kind]
	n := 0
	for i := range len(format) {
		if format[i] == '%' {
			n++
		}
	}
	w.tell(format, args[:n]...)
}

// tell adds a line to the trace.
func (w *World) tell(format string, args ...any) {
	if w.trace.on {
		w.trace.lines = append(w.trace.lines, fmt.Sprintf("%9.3fs  ", w.time.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
