package arch

import (
	"strings"
	"testing"
)

// fixtures are small files with what a rule must say about each; "" means that
// all rules are content.
var fixtures = []struct {
	name, path, src, want string
}{
	{"upwards", "codec/x.go", `import "github.com/logmesh/logmesh/machine"`, "codec must not import machine"},
	{"machine to a core", "machine/x.go", `import "github.com/logmesh/logmesh/internal/replay"`, "machine must not import internal/replay"},
	{"contract to its machine", "machine/x.go", `import "github.com/logmesh/logmesh/machine/kv"`, "machine must not import machine/kv"},
	{"sideways", "internal/ledger/x.go", `import "github.com/logmesh/logmesh/internal/consensus"`, "internal/ledger must not import internal/consensus"},
	{"sideways in a test", "internal/catchup/x_test.go", `import "github.com/logmesh/logmesh/internal/ledger"`, "internal/catchup must not import internal/ledger"},
	{"actors to p2p", "actors/x.go", `import "github.com/logmesh/logmesh/p2p"`, "let the root package introduce the two"},
	{"p2p to actors", "p2p/x.go", `import "github.com/logmesh/logmesh/actors"`, "p2p must not import actors"},
	{"core to the root", "internal/replay/x.go", `import "github.com/logmesh/logmesh"`, "internal/replay must not import ."},
	{"root to a program", "x.go", `import "github.com/logmesh/logmesh/cmd/node"`, ". must not import cmd/node"},
	{"an unknown package", "extra/x.go", ``, "is in no layer"},
	{"downwards", "actors/x.go", `import "github.com/logmesh/logmesh/internal/catchup"`, ""},
	{"program to root", "cmd/node/x.go", `import "github.com/logmesh/logmesh"`, ""},
	{"own package in a test", "internal/ledger/x_test.go", `import "github.com/logmesh/logmesh/internal/ledger"`, ""},

	{"libp2p outside", "actors/x.go", `import "github.com/libp2p/go-libp2p/core/peer"`, "known to package p2p only"},
	{"libp2p in a test outside", "actors/x_test.go", `import "github.com/libp2p/go-libp2p/x/simlibp2p"`, "known to package p2p only"},
	{"multiaddr outside", "x.go", `import "github.com/multiformats/go-multiaddr"`, "known to package p2p only"},
	{"protoactor outside", "p2p/x.go", `import "github.com/asynkron/protoactor-go/actor"`, "known to package actors only"},
	{"Raft outside", "actors/x.go", `import "go.etcd.io/raft/v3/raftpb"`, "known to package internal/consensus only"},
	{"Pebble outside", "actors/x.go", `import "github.com/cockroachdb/pebble/v2/vfs"`, "known to package internal/ledger only"},
	{"Pebble's database in a test outside", "actors/x_test.go", `import "github.com/cockroachdb/pebble/v2"`, "known to package internal/ledger only"},
	{"Pebble's file system in a test", "actors/x_test.go", `import "github.com/cockroachdb/pebble/v2/vfs"`, ""},
	{"Pebble's file system in a program", "cmd/node/x.go", `import "github.com/cockroachdb/pebble/v2/vfs"`, ""},
	{"Pebble's database in a program", "cmd/node/x.go", `import "github.com/cockroachdb/pebble/v2"`, "known to package internal/ledger only"},
	{"Raft in a comparison", "bench/peers/x.go", `import "go.etcd.io/raft/v3"`, ""},
	{"libp2p at home", "p2p/x_test.go", `import "github.com/libp2p/go-libp2p"`, ""},

	{"goroutine", "internal/catchup/x.go", "func f() { go f() }", "no goroutines"},
	{"now", "internal/consensus/x.go", "import \"time\"\nfunc f() { _ = time.Now() }", "no time.Now"},
	{"now under another name", "machine/kv/x.go", "import clock \"time\"\nvar now = clock.Now", "no time.Now"},
	{"since", "machine/x.go", "import \"time\"\nfunc f(t time.Time) { _ = time.Since(t) }", "no time.Since"},
	{"sleep", "codec/x.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "no time.Sleep"},
	{"after", "codec/x.go", "import \"time\"\nfunc f() { _ = time.After(1) }", "no time.After"},
	{"after a while", "codec/x.go", "import \"time\"\nfunc f() { _ = time.AfterFunc(1, nil) }", "no time.AfterFunc"},
	{"timer", "codec/x.go", "import \"time\"\nfunc f() { _ = time.NewTimer(1) }", "no time.NewTimer"},
	{"ticker", "codec/x.go", "import \"time\"\nfunc f() { _ = time.NewTicker(1) }", "no time.NewTicker"},
	{"tick", "codec/x.go", "import \"time\"\nfunc f() { _ = time.Tick(1) }", "no time.Tick"},
	{"hidden clock", "codec/x.go", "import . \"time\"\nfunc f() { _ = Now() }", "import time by its name"},
	{"timeout", "internal/replay/x.go", "import \"context\"\nfunc f() { context.WithTimeout(nil, 1) }", "no context.WithTimeout"},
	{"global random", "internal/catchup/x.go", "import \"math/rand/v2\"\nfunc f() { _ = rand.IntN(3) }", "no global random source"},
	{"old global random", "internal/catchup/x.go", "import \"math/rand\"\nfunc f() { _ = rand.Intn(3) }", "no global random source"},
	{"crypto random", "codec/x.go", `import "crypto/rand"`, "no crypto/rand"},
	{"socket", "codec/x.go", `import "net"`, "no net: return"},
	{"http", "machine/counter/x.go", `import "net/http"`, "no net/http"},
	{"file", "internal/replay/x.go", `import "os"`, "no os: take"},
	{"range over a channel", "codec/x.go", "func f(c chan int) { for range c {} }", "no channels"},
	{"send", "codec/x.go", "func f() { c <- 1 }", "no channels"},
	{"receive", "codec/x.go", "func f() { <-c }", "no channels"},
	{"select", "codec/x.go", "func f() { select {} }", "no channels"},
	{"seeded random and durations", "internal/catchup/x.go", "import (\n\"math/rand/v2\"\n\"time\"\n)\nfunc f(r *rand.Rand, now time.Duration) { _ = r.IntN(3); _ = rand.NewPCG(1, 2); _ = now + time.Second }", ""},
	{"clock in an actor", "actors/x.go", "import \"time\"\nfunc f() { go f(); _ = time.Now() }", ""},
	{"clock in a core's test", "codec/x_test.go", "import \"time\"\nfunc f() { _ = time.Now() }", ""},

	{"sleep in a test", "actors/x_test.go", "import \"time\"\nfunc f() { time.Sleep(1) }", "no time.Sleep in a test"},
	{"sleep in a test under another name", "actors/x_test.go", "import tm \"time\"\nfunc f() { tm.Sleep(1) }", "no time.Sleep in a test"},
	{"sleep in a bubble", "actors/x_test.go", "import (\n\"testing/synctest\"\n\"time\"\n)\nfunc f() { synctest.Test(t, func() { time.Sleep(1) }) }", ""},
	{"sleep in a marked helper", "actors/x_test.go", "import \"time\"\nfunc f() {\ntime.Sleep(1) // in a bubble\n}", ""},
	{"sleep beside a marked line", "actors/x_test.go", "import \"time\"\nfunc f() {\ng() // in a bubble\ntime.Sleep(1)\n}", "no time.Sleep in a test"},

	{"leftover", "codec/x.go", "// TO" + "DO: later\nvar x = 1", "finish it"},
	{"the word inside another", "codec/x.go", "// METHO" + "DOLOGY\nvar x = 1", ""},
}

func TestRulesBite(t *testing.T) {
	for _, f := range fixtures {
		s, err := parse(f.path, "package x\n"+f.src)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		var findings []string
		for _, r := range rules {
			findings = append(findings, r(s)...)
		}
		all := strings.Join(findings, "\n")
		if f.want == "" && all != "" {
			t.Errorf("%s: unexpected %s", f.name, all)
		}
		if !strings.Contains(all, f.want) {
			t.Errorf("%s: nothing says %q, only %q", f.name, f.want, all)
		}
	}
}

func TestLocalPathsAreFound(t *testing.T) {
	for text, want := range map[string]bool{
		"see /ro" + "ot/notes":            true,
		"cd /wo" + "rk/main":              true,
		"`/ho" + "me/ann/x`":              true,
		"dir=\"/Us" + "ers/ann\"":         true,
		"mktemp -d /tmp/x":                false,
		"the tree's /root and home/ann/x": false,
		"/logmesh/1/network/work":         false,
		"https://example.org/ho" + "me/x": false,
	} {
		if got := len(localPaths("x.md", text)) > 0; got != want {
			t.Errorf("%q: found %v", text, got)
		}
	}
}
