package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// leftover is a mark of unfinished work in a comment. (The words are put
// together here so that this file passes.)
var leftover = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK)\b`)

// noLeftovers: what is left undone is said in words where it is missed.
func noLeftovers(s source) []string {
	var out []string
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if word := leftover.FindString(c.Text); word != "" {
				out = append(out, s.at(c.Pos(), "%s: finish it, or say in plain words what is missing and what happens then", word))
			}
		}
	}
	return out
}

// localPath is a path of somebody's own machine.
var localPath = regexp.MustCompile(`(^|[^\w.~/-])/(work|root|home|Users)/[\w.-]`)

// localPaths finds the lines of a text that name a path of one machine.
func localPaths(name, text string) []string {
	var out []string
	for n, line := range strings.Split(text, "\n") {
		if found := localPath.FindString(line); found != "" {
			out = append(out, fmt.Sprintf("%s:%d: a path of one machine (%s…): use a path relative to the module, "+
				"$(go env …), or a temporary directory", name, n+1, strings.TrimSpace(found)))
		}
	}
	return out
}

func TestNoLocalPaths(t *testing.T) {
	root := moduleRoot(t)
	for _, name := range files(t, root) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(text) || strings.Contains(name, "testdata/fuzz/") {
			continue
		}
		for _, finding := range localPaths(name, string(text)) {
			t.Error(finding)
		}
	}
}
