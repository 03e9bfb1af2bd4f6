package bench

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

var kills = flag.Int("kills", 5, "how often TestKilledCatchup kills the joining node")

// partVictim is a joiner that can be asked how far it is.
const partVictim = "victim"

// TestMain lets the test program play the parts, as the command does.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "play" {
		parts[partVictim] = newVictim
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if err := Play(context.Background(), os.Args[2], os.Stdin, os.Stdout, log); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// victim joins as a joiner does, and goes on while it is asked.
type victim struct{ joiner }

func newVictim(log *slog.Logger) *part {
	v := &victim{joiner{log: log}}
	return &part{
		verbs: map[string]verb{"open": on(v.open), "join": on(v.join), "stands": on(v.stands), "digest": on(v.digest)},
		close: v.close,
	}
}

func (v *victim) join(ctx context.Context, machine string) (_ none, err error) {
	m, err := newMachine(machine)
	if err != nil {
		return none{}, err
	}
	v.group, err = v.node.Join(ctx, v.place.groupConfig(), m)
	return none{}, err
}

// standing is how far a catch-up is.
type standing struct {
	From    uint64 // the first block that was missing
	Arrived uint64 // bytes of blocks, in this session
	Over    bool
}

func (v *victim) stands(context.Context, none) (standing, error) {
	s := v.group.Status()
	out := standing{From: s.Blocks, Over: s.LastSync != nil}
	if s.Sync != nil {
		out.From, out.Arrived = s.Sync.From, s.Sync.Doubled
		for _, p := range s.Sync.Peers {
			out.Arrived += p.Bytes
		}
	}
	return out, nil
}

// digest is the machine's, once the entry at index last is applied.
func (v *victim) digest(ctx context.Context, last codec.Index) (sum []byte, err error) {
	a, err := v.group.Query(ctx, nil, logmesh.After(last))
	return a.Data, err
}

// A node that is killed in the middle of a catch-up goes on where its ledger ends: at
// most the window is fetched again, however often (fault P3).
func TestKilledCatchup(t *testing.T) {
	k := &killing{t: t, catchup: &catchup{CatchupConfig: CatchupConfig{
		Entries: 200_000 + 30_000**kills, Size: 128, Peers: 3, Machine: MachineFold,
		Stage: Stage{Self: Self{os.Args[0], "play"}, Dir: t.TempDir(), Timeout: 30 * time.Minute, Say: t.Logf},
	}}}
	var err error
	k.stage, err = k.set(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, k.stage.close(nil)) }()
	k.spec = k.CatchupConfig.spec()
	require.NoError(t, k.prepare())
	k.run()
}

// killing kills one joiner after the other.
type killing struct {
	t *testing.T
	*catchup
	rng *rand.Rand

	nodes       int // that began with nothing
	killed      int
	again, most int64 // bytes that were fetched again, in all and by one kill
}

func (k *killing) run() {
	seed := uint64(time.Now().UnixNano())
	k.t.Logf("seed %d", seed)
	k.rng = rand.New(rand.NewPCG(seed, 0))
	var last standing // of the life before
	for {
		v := k.start()
		begin := k.stands(v)
		if k.killed > 0 {
			k.judge(last, begin)
		}
		if k.killed == *kills {
			k.finish(v)
			break
		}
		if last = k.live(v); last.Over {
			k.finish(v)
			k.nodes++
			last = standing{}
			continue
		}
		require.NoError(k.t, v.cmd.Process.Kill())
		_ = v.end() // it was killed, it says
		k.killed++
	}
	k.t.Logf("%d kills, %d nodes, log of %d bytes: %d bytes fetched again, at most %d by one kill",
		k.killed, k.nodes+1, k.written.Bytes, k.again, k.most)
}

// start starts the node, on what the one before left.
func (k *killing) start() *process {
	p, err := k.stage.start(partVictim, "victim")
	require.NoError(k.t, err)
	open := struct {
		Place place
		Peers []string
	}{k.place(fmt.Sprintf("joiner%d", k.nodes), false), k.addrs}
	_, err = do[none](p, "open", open)
	require.NoError(k.t, err)
	_, err = do[none](p, "join", k.Machine)
	require.NoError(k.t, err)
	return p
}

func (k *killing) stands(v *process) standing {
	s, err := do[standing](v, "stands", none{})
	require.NoError(k.t, err)
	return s
}

// live lets v live for a while, and returns where it stood last.
func (k *killing) live(v *process) (s standing) {
	life := time.Duration(k.rng.Int64N(int64(time.Second)))
	for begin := time.Now(); ; {
		if s = k.stands(v); s.Over || time.Since(begin) > life {
			return s
		}
	}
}

// judge counts what had arrived and was not kept.
func (k *killing) judge(last, now standing) {
	mean := k.written.Bytes / int64(k.written.Head.Blocks)
	kept := int64(now.From-min(now.From, last.From)) * mean
	twice := max(int64(last.Arrived)-kept, 0)
	require.LessOrEqual(k.t, twice, int64(window), "kill %d: %d bytes had arrived, %d were kept", k.killed, last.Arrived, kept)
	k.again, k.most = k.again+twice, max(k.most, twice)
}

// finish lets v come to the end of the log: its machine has seen all of it, once.
func (k *killing) finish(v *process) {
	got, err := do[[]byte](v, "digest", k.written.Head.Last)
	require.NoError(k.t, err)
	require.NoError(k.t, v.end())
	w, err := newLogWriter(k.spec)
	require.NoError(k.t, err)
	var sum uint64
	var payload []byte
	for range k.Entries {
		payload = w.command(payload[:0])
		sum = foldIn(sum, payload)
	}
	require.Equal(k.t, sum, binary.BigEndian.Uint64(got))
}
