// Package arch holds the tests that keep the architecture: who imports whom,
// what the pure cores may not touch, which library lives in which package, and
// what no file may contain. Every failure says what to do instead.
//
// The rules work on sources alone, by go/parser: a rule is a function from one
// parsed file to what is wrong with it. fixture_test.go shows that each bites.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/logmesh/logmesh"

// source is one parsed Go file of the module.
type source struct {
	path string // from the module's root, with slashes
	fset *token.FileSet
	file *ast.File
}

func (s source) dir() string  { return path.Dir(s.path) }
func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at is a finding with its place in front.
func (s source) at(pos token.Pos, format string, args ...any) string {
	p := s.fset.Position(pos)
	return fmt.Sprintf("%s:%d: %s", s.path, p.Line, fmt.Sprintf(format, args...))
}

func parse(name, text string) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{name, fset, file}, err
}

// imports gives the file's imports by path, with the name each has in the file.
func (s source) imports() map[string]string {
	out := map[string]string{}
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has checked it
		}
		name := path.Base(p)
		if strings.HasPrefix(name, "v") && len(name) == 2 {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		out[p] = name
	}
	return out
}

// moduleRoot is the directory of go.mod.
func moduleRoot(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// files lists the module's files from its root: those that git knows or would
// add, or without git all but hidden directories and bin.
func files(t *testing.T, root string) []string {
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
			// Reading the directory tells go test's cache that a new file matters.
			_, _ = os.ReadDir(filepath.Dir(filepath.Join(root, name)))
			_, err := os.Stat(filepath.Join(root, name))
			return err != nil // deleted, not yet committed
		})
	}
	var out []string
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".git") || p == "bin") {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sources parses every Go file that is part of a package.
func sources(t *testing.T) []source {
	root := moduleRoot(t)
	var out []source
	for _, name := range files(t, root) {
		if !strings.HasSuffix(name, ".go") || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		s, err := parse(name, string(text))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		t.Fatal("no Go files found")
	}
	return out
}

type rule func(source) []string

// rules are all rules for Go files.
var rules = []rule{importDirection, libraryRooms, purity, noSleepInTests, noLeftovers}

func TestArchitecture(t *testing.T) {
	for _, s := range sources(t) {
		for _, r := range rules {
			for _, finding := range r(s) {
				t.Error(finding)
			}
		}
	}
}

// Every package of the layers exists: a renamed package must not leave its rule
// behind.
func TestLayersExist(t *testing.T) {
	dirs := map[string]bool{}
	for _, s := range sources(t) {
		dirs[s.dir()] = true
	}
	for _, l := range layers {
		if !strings.HasSuffix(l.dir, "/...") && !dirs[l.dir] {
			t.Errorf("layers names %s, which does not exist: rename it there as well", l.dir)
		}
	}
	for _, dir := range pure {
		if !dirs[dir] {
			t.Errorf("pure names %s, which does not exist: rename it there as well", dir)
		}
	}
}
