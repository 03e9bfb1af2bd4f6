package arch

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// pure are the cores whose steps depend on their arguments alone.
var pure = []string{
	"codec", "machine", "machine/kv", "machine/counter",
	"internal/catchup", "internal/consensus", "internal/replay", "internal/sim", "internal/sim/disk",
}

// impureImports are packages that a pure core does not import, with what to do
// instead. A prefix that ends in "/" stands for all below it.
var impureImports = map[string]string{
	"crypto/rand": "take random bytes, or an io.Reader, as an argument",
	"net":         "return what should be sent as an effect",
	"net/":        "return what should be sent as an effect",
	"os":          "take bytes or an interface as an argument",
	"os/":         "take bytes or an interface as an argument",
	"syscall":     "take bytes or an interface as an argument",
	"C":           "write it in Go",
}

// impureNames are functions of packages that a pure core may otherwise use.
var impureNames = map[string]struct {
	names   []string
	instead string
}{
	"time": {
		[]string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "NewTimer", "NewTicker", "Tick", "Timer", "Ticker"},
		"take the time as an argument, and return an effect that asks to be woken",
	},
	"context": {
		[]string{"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"},
		"take the time as an argument, and return an effect that asks to be woken",
	},
}

// seededRand are the names of math/rand and math/rand/v2 that do not reach the
// global source.
var seededRand = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}

// purity: no goroutine, channel, clock, timer, global random source, file or
// socket in a pure core. Test files may use them.
func purity(s source) []string {
	if s.isTest() || !slices.Contains(pure, s.dir()) {
		return nil
	}
	out := impurelyImported(s)
	names := map[string]string{} // name in the file → import path
	for p, name := range s.imports() {
		names[name] = p
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			out = append(out, s.at(n.Pos(), "%s is pure, no goroutines: return the work as an effect, and let an actor do it", s.dir()))
		case *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
			out = append(out, s.at(n.Pos(), "%s is pure, no channels: take events as arguments, return effects as a slice", s.dir()))
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				out = append(out, s.at(n.Pos(), "%s is pure, no channels: take events as arguments, return effects as a slice", s.dir()))
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				out = append(out, impureName(s, n, names[x.Name])...)
			}
		}
		return true
	})
	return out
}

func impurelyImported(s source) []string {
	var out []string
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		for banned, instead := range impureImports {
			if p == banned || strings.HasSuffix(banned, "/") && strings.HasPrefix(p, banned) {
				out = append(out, s.at(spec.Pos(), "%s is pure, no %s: %s", s.dir(), p, instead))
			}
		}
		_, watched := impureNames[p]
		if spec.Name != nil && spec.Name.Name == "." && (watched || strings.HasPrefix(p, "math/rand")) {
			out = append(out, s.at(spec.Pos(), "%s is pure: import %s by its name, so that its use can be seen", s.dir(), p))
		}
	}
	return out
}

// impureName looks at a use of a name of the package imported from p.
func impureName(s source, use *ast.SelectorExpr, p string) []string {
	name := use.Sel.Name
	if banned := impureNames[p]; slices.Contains(banned.names, name) {
		return []string{s.at(use.Pos(), "%s is pure, no %s.%s: %s", s.dir(), p, name, banned.instead)}
	}
	if (p == "math/rand" || p == "math/rand/v2") && !slices.Contains(seededRand, name) {
		return []string{s.at(use.Pos(), "%s is pure, no global random source (rand.%s): take a *rand.Rand as an argument", s.dir(), name)}
	}
	return nil
}

// bubbled marks a line of a test helper that runs in synctest bubbles only.
const bubbled = "// in a bubble"

// noSleepInTests: a test that sleeps is slow or flaky. Inside a synctest bubble
// time is not real, so it may: in synctest.Test's function, and on lines marked
// with bubbled.
func noSleepInTests(s source) []string {
	if !s.isTest() {
		return nil
	}
	names := s.imports()
	isCall := func(n ast.Node, pkg, fn string) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != fn || names[pkg] == "" {
			return false
		}
		x, ok := sel.X.(*ast.Ident)
		return ok && x.Name == names[pkg]
	}
	marked := map[int]bool{}
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, bubbled) {
				marked[s.fset.Position(c.Pos()).Line] = true
			}
		}
	}
	var out []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isCall(call.Fun, "testing/synctest", "Test") {
			return false
		}
		if isCall(n, "time", "Sleep") && !marked[s.fset.Position(n.Pos()).Line] {
			out = append(out, s.at(n.Pos(), "no time.Sleep in a test: wait for the condition itself, or use testing/synctest "+
				"(in a helper of bubbles, mark the line: %s)", bubbled))
		}
		return true
	})
	return out
}
