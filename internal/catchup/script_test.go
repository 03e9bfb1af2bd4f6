package catchup

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/logmesh/logmesh/codec"
)

// TestScripts runs the transcripts in testdata/scripts. Each directive is something that
// happens to a plan, and what follows is what the plan wants done, Wake left
// out. Rewrite them with -rewrite, and read the diff.
//
//	new [target=N] [from=N] [window=BYTES] [patience=D]
//	offer PEER RANGES [head=N] [committed=I] [leader] [nonce=N]
//	block PEER LEASE RANGE [size=BYTES] [junk]    each takes [every=D] (1 ms)
//	end PEER LEASE REASON [seq=N] [held=RANGES] [head=N] [retry=MS]
//	lost PEER · reset PEER LEASE · leader PEER · target N
//	stored [N]      everything that was released, or blocks below N
//	wait D          lets time pass; the plan is woken when it asked to be
//	oversleep D     lets time pass in which nobody wakes the plan
//	status
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			s.w = &world{t: t, plan: s.plan}
			s.run(t, d)
			if s.plan != nil {
				s.w.plan = s.plan
				s.w.audit()
			}
			return s.out.String()
		})
	})
}

type script struct {
	w        *world
	plan     *Plan
	now      time.Duration
	wake     time.Duration
	released uint64
	out      strings.Builder
}

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	arg := func(i int) string {
		if i >= len(d.CmdArgs) {
			d.Fatalf(t, "%s needs more", d.Cmd)
		}
		return d.CmdArgs[i].Key
	}
	switch d.Cmd {
	case "new":
		s.begin(d)
	case "offer":
		s.step(PeerOffered{codec.PeerID(arg(0)), codec.AvailabilityReply{
			Nonce: number(d, "nonce", session), Held: ranges(arg(1)),
			Head:      codec.Head{Blocks: number(d, "head", top(ranges(arg(1))))},
			Committed: codec.Cursor{Index: codec.Index(number(d, "committed", 0)), Term: 1},
			Leader:    d.HasArg("leader"),
		}})
	case "block":
		s.blocks(d, codec.PeerID(arg(0)), parse(arg(1)), ranges(arg(2)))
	case "end":
		held := ranges(value(d, "held"))
		s.step(LeaseEnded{codec.PeerID(arg(0)), codec.End{
			Lease: parse(arg(1)), Reason: reason(arg(2)), Seq: number(d, "seq", 0), RetryAfter: number(d, "retry", 0),
			Held: held, Head: codec.Head{Blocks: number(d, "head", top(held))},
		}})
	case "lost":
		s.step(PeerLost{codec.PeerID(arg(0))})
	case "reset":
		s.step(StreamReset{codec.PeerID(arg(0)), parse(arg(1))})
	case "leader":
		s.step(LeaderChanged{codec.PeerID(arg(0))})
	case "target":
		s.step(RootAgreed{Blocks: parse(arg(0))})
	case "stored":
		if len(d.CmdArgs) > 0 {
			s.step(Stored{Through: parse(arg(0))})
			break
		}
		for stored := uint64(0); stored < s.released; { // also what is released meanwhile
			stored = s.released
			s.step(Stored{Through: stored})
		}
	case "wait":
		span, err := time.ParseDuration(arg(0))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.wait(span)
	case "oversleep":
		span, err := time.ParseDuration(arg(0))
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		s.now += span
	case "status":
		s.status()
	default:
		d.Fatalf(t, "unknown directive %q", d.Cmd)
	}
}

func (s *script) begin(d *datadriven.TestData) {
	cfg := Config{
		Session: session, Target: number(d, "target", 0), From: number(d, "from", 0),
		Window: int64(number(d, "window", 0)),
		Check:  (&world{}).check,
	}
	if v := value(d, "patience"); v != "" {
		cfg.Patience, _ = time.ParseDuration(v)
	}
	*s = script{w: s.w, plan: New(cfg), released: cfg.From}
	s.step(Ticked{})
}

func (s *script) blocks(d *datadriven.TestData, peer codec.PeerID, lease uint64, rs []codec.BlockRange) {
	every := time.Millisecond
	if v := value(d, "every"); v != "" {
		every, _ = time.ParseDuration(v)
	}
	for _, r := range rs {
		for n := r.From; n < r.To; n++ {
			data := binary.BigEndian.AppendUint64(make([]byte, 0, 8), n)
			if d.HasArg("junk") {
				data[7]++
			}
			data = append(data, make([]byte, number(d, "size", 64<<10)-8)...)
			s.wait(every)
			s.step(BlockArrived{Peer: peer, Lease: lease, Number: n, Data: data})
		}
	}
}

func (s *script) wait(span time.Duration) {
	until := s.now + span
	for s.wake > 0 && s.wake <= until {
		s.now, s.wake = max(s.now, s.wake), 0
		s.step(Ticked{})
	}
	s.now = until
}

func (s *script) step(e Event) {
	for _, f := range s.plan.Step(s.now, e) {
		if w, ok := f.(Wake); ok {
			s.wake = w.At
			continue
		}
		fmt.Fprintf(&s.out, "%v %s\n", s.now, s.describe(f))
	}
	if err := s.plan.Stuck(s.now); err != nil {
		fmt.Fprintf(&s.out, "%v STUCK: %v\n", s.now, err)
	}
}

func (s *script) describe(f Effect) string {
	switch f := f.(type) {
	case Fetch:
		return fmt.Sprintf("fetch %s/%d %s", f.Peer, f.Lease, show(list(f.Ranges)))
	case Extend:
		return fmt.Sprintf("extend %s/%d seq %d %s", f.Peer, f.Lease, f.Seq, show(list(f.Ranges)))
	case Trim:
		return fmt.Sprintf("trim %s/%d seq %d from place %d", f.Peer, f.Lease, f.Seq, f.Place)
	case Cancel:
		return fmt.Sprintf("cancel %s/%d", f.Peer, f.Lease)
	case Release:
		s.released = f.First + uint64(len(f.Blocks))
		return "release " + show([]codec.BlockRange{{From: f.First, To: s.released}})
	case Distrust:
		return fmt.Sprintf("distrust %s: %v", f.Peer, f.Err)
	case Fail:
		return fmt.Sprintf("fail: %v", f.Err)
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", f), "catchup."))
}

func (s *script) status() {
	st := s.plan.Status()
	fmt.Fprintf(&s.out, "done %d of %d, waiting: %s, doubled %d B\n", st.Done, st.Needed, st.Waiting, st.Doubled)
	var drops []string
	for why, n := range st.Dropped {
		drops = append(drops, fmt.Sprintf("dropped %d: %s\n", n, why))
	}
	slices.Sort(drops)
	s.out.WriteString(strings.Join(drops, ""))
	for _, x := range st.Peers {
		fmt.Fprintf(&s.out, "%s: %d blocks, %s", x.Peer, x.Blocks, x.State)
		if x.Leader {
			s.out.WriteString(", leader")
		}
		if x.Idle != ReasonNone {
			fmt.Fprintf(&s.out, ", %s", x.Idle)
		}
		s.out.WriteString("\n")
	}
}

func parse(v string) uint64 {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func value(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return strings.Join(a.Vals, ",")
		}
	}
	return ""
}

func number(d *datadriven.TestData, key string, otherwise uint64) uint64 {
	if v := value(d, key); v != "" {
		return parse(v)
	}
	return otherwise
}

// ranges reads "0-20,30-40" (ends not included), "7", or "-" for none.
func ranges(v string) (out []codec.BlockRange) {
	for part := range strings.SplitSeq(v, ",") {
		if part == "" || part == "-" {
			continue
		}
		from, to, ok := strings.Cut(part, "-")
		r := codec.BlockRange{From: parse(from), To: parse(from) + 1}
		if ok {
			r.To = parse(to)
		}
		out = append(out, r)
	}
	return out
}

func top(rs []codec.BlockRange) uint64 {
	if len(rs) == 0 {
		return 0
	}
	return rs[len(rs)-1].To
}

func show(rs []codec.BlockRange) string {
	var parts []string
	for _, r := range rs {
		parts = append(parts, fmt.Sprintf("%d-%d", r.From, r.To))
	}
	return strings.Join(parts, ",")
}

func reason(v string) codec.EndReason {
	for r := codec.EndDone; r <= codec.EndRefused; r++ {
		if r.String() == v {
			return r
		}
	}
	panic("unknown reason " + v)
}
