package arch

import (
	"slices"
	"strings"
)

// layer says what the packages of a directory may import of this module.
// "x/..." stands for x and everything below it.
type layer struct {
	dir string
	may []string
}

// layers is the import direction, from the bottom up; the first that fits a
// directory holds. Siblings (ledger, consensus, catchup, replay; actors, p2p)
// do not know each other.
var layers = []layer{
	{"codec", nil},
	{"machine", []string{"codec"}},
	{"machine/...", []string{"codec", "machine"}},
	{"internal/ledger", []string{"codec"}},
	{"internal/ledger/ledgertest", nil},
	{"internal/consensus", []string{"codec"}},
	{"internal/catchup", []string{"codec"}},
	{"internal/replay", []string{"codec", "machine"}},
	{"actors", []string{"codec", "machine", "internal/ledger", "internal/consensus", "internal/catchup", "internal/replay"}},
	{"p2p", []string{"codec"}},
	{"p2p/p2ptest", []string{"codec", "p2p"}},
	{"internal/seam", []string{"internal/ledger", "p2p"}},
	{".", []string{
		"codec", "machine", "internal/ledger", "internal/consensus", "internal/catchup", "internal/replay", "actors", "p2p", "internal/seam",
	}},
	{"internal/api/...", []string{"codec", "machine/...", ".", "internal/api/..."}},
	{"internal/sim", []string{
		"codec", "machine/...", "internal/consensus", "internal/catchup", "internal/replay", "internal/ledger", "internal/sim/disk",
	}},
	{"internal/sim/disk", []string{"codec", "internal/ledger"}},
	{"internal/bench", []string{
		"codec", "machine/...", "internal/consensus", "internal/ledger", "actors", "p2p", ".",
	}},
	{"internal/arch", nil},
	{"internal/virtual", []string{"..."}},
	{"cmd/...", []string{"..."}},
	{"testnet/...", []string{"..."}},
	{"bench/...", []string{"..."}},
}

// testsMay is what test files may import besides their layer's: their own
// package, what stands below it, machines to try things on, what damages a
// ledger, what attacks a node, and what measures a disk.
var testsMay = []string{"codec", "machine/...", "internal/ledger/ledgertest", "p2p/p2ptest", "internal/bench"}

func within(dir string, patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, tree := strings.CutSuffix(p, "/...")
		return p == "..." || dir == p || tree && (dir == below || strings.HasPrefix(dir, below+"/"))
	})
}

// importDirection: imports run downwards only.
func importDirection(s source) []string {
	i := slices.IndexFunc(layers, func(l layer) bool { return within(s.dir(), l.dir) })
	if i < 0 {
		return []string{s.at(s.file.Package, "package %s is in no layer: say in internal/arch/imports_test.go what it may import", s.dir())}
	}
	var out []string
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		if p != module && !strings.HasPrefix(p, module+"/") {
			continue
		}
		dir := strings.TrimPrefix(strings.TrimPrefix(p, module), "/")
		if dir == "" {
			dir = "."
		}
		if within(dir, layers[i].may...) || s.isTest() && within(dir, append(testsMay, s.dir()+"/...")...) {
			continue
		}
		out = append(out, s.at(spec.Pos(), "%s must not import %s: imports run downwards (may: %s). "+
			"Move what both need to a lower package, or state what is needed as an interface here and let the root package introduce the two",
			s.dir(), dir, strings.Join(layers[i].may, ", ")))
	}
	return out
}

// room is the one directory that may know a library.
type room struct {
	library string // import path prefix
	dir     string
	instead string

	// part is a package of the library that the programs, which choose it, and
	// tests may import, too.
	part string
}

var rooms = []room{
	{library: "github.com/libp2p/", dir: "p2p", instead: "use what package p2p offers; addresses and peer ids are strings elsewhere"},
	{library: "github.com/multiformats/", dir: "p2p", instead: "let package p2p parse addresses; they are strings elsewhere"},
	{library: "github.com/asynkron/protoactor-go", dir: "actors", instead: "send through what package actors offers"},
	{library: "go.etcd.io/raft/", dir: "internal/consensus", instead: "use codec's entries, cursors and hard state, and bytes for messages"},
	{
		library: "github.com/cockroachdb/pebble", dir: "internal/ledger", instead: "use the ledger's methods",
		part: "/vfs", // the file system is an argument; tests have some that crash on cue
	},
}

// libraryRooms: a library with types of its own world stays in one package.
func libraryRooms(s source) []string {
	if within(s.dir(), "bench/...") {
		return nil // modules of their own, which measure libraries beside us
	}
	var out []string
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		for _, r := range rooms {
			if !strings.HasPrefix(p, r.library) || within(s.dir(), r.dir+"/...") {
				continue
			}
			if r.part != "" && strings.Contains(p, r.part) && (s.isTest() || within(s.dir(), ".", "cmd/...", "internal/bench")) {
				continue
			}
			out = append(out, s.at(spec.Pos(), "%s is known to package %s only: %s", p, r.dir, r.instead))
		}
	}
	return out
}
