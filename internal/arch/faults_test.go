package arch

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	faultRow   = regexp.MustCompile(`(?m)^\| ([NPSMH]\d+) \|.*\| (.*) \|$`)
	faultTests = regexp.MustCompile("([a-z0-9]+) ((?:`Test\\w+`(?:, )?)+)")
	// faultNamed finds what comments of tests name: "P1, R3: …", "(fault N7)".
	faultNamed = regexp.MustCompile(`(?:^// |[Ff]aults? |, )([NPSMH]\d{1,2})\b`)
)

// TestFaultsPage: docs/faults.md has a row for each fault that a test says it is
// about, and each test in it exists.
func TestFaultsPage(t *testing.T) {
	root := moduleRoot(t)
	page, err := os.ReadFile(filepath.Join(root, "docs/faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	named, tests := map[string]string{}, map[string]bool{}
	for _, name := range files(t, root) {
		if !strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "internal/arch/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if test, ok := strings.CutPrefix(line, "func Test"); ok {
				test, _, _ = strings.Cut(test, "(")
				tests[path.Base(path.Dir("logmesh/"+name))+" Test"+test] = true
			}
			if strings.HasPrefix(line, "//") {
				for _, m := range faultNamed.FindAllStringSubmatch(line, -1) {
					named[m[1]] = name
				}
			}
		}
	}
	if len(named) < 10 {
		t.Errorf("only %v are named by tests: is the search broken?", named)
	}
	for _, row := range faultRow.FindAllStringSubmatch(string(page), -1) {
		delete(named, row[1])
		found := faultTests.FindAllStringSubmatch(row[2], -1)
		if len(found) == 0 {
			t.Errorf("docs/faults.md: row %s names no test", row[1])
		}
		for _, group := range found {
			for _, test := range strings.Split(strings.ReplaceAll(group[2], "`", ""), ", ") {
				if test != "" && !tests[group[1]+" "+test] {
					t.Errorf("docs/faults.md: row %s: there is no %s in package %s", row[1], test, group[1])
				}
			}
		}
	}
	for row, name := range named {
		t.Errorf("%s is about fault %s, which has no row in docs/faults.md", name, row)
	}
}
