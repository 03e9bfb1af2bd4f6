package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// repository is the top of the checkout, from this package.
const repository = "../.."

// readmePart is what README.md says below a heading of the second level.
func readmePart(t *testing.T, heading string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, "README.md"))
	require.NoError(t, err)
	_, part, found := strings.Cut(string(data), "\n## "+heading+"\n")
	require.True(t, found, "README.md has no part %q", heading)
	part, _, _ = strings.Cut(part, "\n## ")
	return part
}

// fenced lists the code of one language in a text.
func fenced(text, language string) (blocks []string) {
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestReadmeByHand runs the commands of README.md, part "By hand", in a shell
// and as they are written, but for three things: the program is built into a
// temporary directory, which also holds a copy of the tree to import; the ticket
// stands where README has its beginning; and the local APIs take free ports, by
// which the commands without --data then need it.
func TestReadmeByHand(t *testing.T) {
	t.Parallel()
	part := readmePart(t, "By hand")
	blocks := fenced(part, "sh")
	require.Len(t, blocks, 3, "three terminals")
	s := shell{t: t, dir: t.TempDir()}
	s.build(part)
	require.NoError(t, os.CopyFS(filepath.Join(s.dir, "codec"), os.DirFS(filepath.Join(repository, "codec"))))

	first := s.node(blocks[0], "^online, and leads$")
	join := regexp.MustCompile(`^ +join with +bin/logmesh (.*) (logmesh1:\S+)$`).FindStringSubmatch(first.saw("join with"))
	require.NotNil(t, join, "the first node prints the line that joins it")
	second := strings.Replace(blocks[1], "logmesh1:…", join[2], 1)
	require.Contains(t, second, join[2])
	printed := strings.ReplaceAll(join[1], first.dir()+"/", "")
	require.Equal(t, "bin/logmesh "+printed+" "+join[2], strings.TrimSpace(second), "README has the line that the node prints")
	two := s.node(second, "^online as (standby|voter)$")

	out := s.run(withData(blocks[2], "node1"))
	require.Contains(t, out, "hello")
	require.Contains(t, out, "testdata/block.txt")
	require.Equal(t, 2, strings.Count(out, "\nphase     online\n"), out)
	copied := filepath.Join(s.dir, "copy", "greeting")
	value, err := os.ReadFile(copied)
	require.NoError(t, err)
	require.Equal(t, "goodbye", string(value))
	require.NoError(t, os.Remove(copied))
	s.run("diff -r codec copy")

	two.interrupt()
	first.interrupt()
}

// TestReadmeCommands: the two commands that are each enough by themselves.
func TestReadmeCommands(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(repository, "README.md"))
	require.NoError(t, err)
	require.Regexp(t, `^\./testnet/quickstart\.sh +#.*\ngo test \./\.\.\. +#.*\n$`, fenced(string(data), "sh")[0])
	info, err := os.Stat(filepath.Join(repository, "testnet/quickstart.sh"))
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&0o100, "it can be executed")
}

// TestReadmeLibrary compiles the Go code of README.md against the module. An
// ellipsis is where the reader's own code goes.
func TestReadmeLibrary(t *testing.T) {
	t.Parallel()
	blocks := fenced(readmePart(t, "As a library"), "go")
	require.Len(t, blocks, 1)
	source := `package snippet

import (
	"context"
	"errors"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/counter"
)

func _(ctx context.Context, dir string, peers []string, key []byte) {
` + strings.ReplaceAll(blocks[0], "…", "") + `
	_, _ = v, now
}
`
	dir := t.TempDir()
	file := filepath.Join(dir, "snippet.go")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	root, err := filepath.Abs(repository)
	require.NoError(t, err)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "internal/snippet/snippet.go"): file}})
	require.NoError(t, err)
	list := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(list, overlay, 0o600))
	out, err := exec.Command("go", "build", "-C", root, "-overlay", list, "./internal/snippet").CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, source)
}

// withData adds --data to the commands that name no node, in front of comments.
func withData(script, dir string) string {
	lines := strings.Split(strings.TrimSuffix(script, "\n"), "\n")
	for i, line := range lines {
		command, comment, _ := strings.Cut(line, " #")
		if !strings.Contains(command, "--data") {
			command += " --data " + dir
		}
		lines[i] = command + " # " + comment
	}
	return strings.Join(lines, "\n")
}

// shell runs commands in a directory.
type shell struct {
	t   *testing.T
	dir string
}

// build builds the program by the command in text, but into the shell's
// directory.
func (s *shell) build(text string) {
	s.t.Helper()
	const command = "go build -o bin/logmesh ./cmd/node"
	require.Contains(s.t, text, "`"+command+"`")
	args := strings.Fields(strings.Replace(command, "bin/", filepath.Join(s.dir, "bin")+"/", 1))
	args = append([]string{args[0], args[1], "-C", repository}, args[2:]...)
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

func (s *shell) run(script string) string {
	s.t.Helper()
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%s\n%s", script, out)
	return string(out)
}

// node runs a node in the background until the test ends, and returns when it
// said a line that matches.
func (s *shell) node(command, ready string) *background {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+strings.TrimSpace(command)+" --http 127.0.0.1:0")
	cmd.Dir = s.dir
	pipe, err := cmd.StderrPipe()
	require.NoError(s.t, err)
	b := &background{t: s.t, cmd: cmd, lines: make(chan string, 1024)}
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	go b.read(pipe)
	b.wait(regexp.MustCompile(ready))
	return b
}

// background is a node that runs, with what it said.
type background struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // closed at the end of its output
	said  []string
}

func (b *background) read(r io.Reader) {
	defer close(b.lines)
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		b.lines <- scanner.Text()
	}
}

func (b *background) wait(want *regexp.Regexp) {
	b.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case line, ok := <-b.lines:
			if ok {
				b.said = append(b.said, line)
			}
			if want.MatchString(line) {
				return
			}
			require.True(b.t, ok, "the node ended:\n%s", strings.Join(b.said, "\n"))
		case <-deadline:
			require.Fail(b.t, "the node never said "+want.String(), strings.Join(b.said, "\n"))
		}
	}
}

// saw is the first line with text in it.
func (b *background) saw(text string) string {
	for _, line := range b.said {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// dir is where the node's process runs, with links resolved as it sees it.
func (b *background) dir() string {
	b.t.Helper()
	dir, err := filepath.EvalSymlinks(b.cmd.Dir)
	require.NoError(b.t, err)
	return dir
}

// interrupt stops the node as Ctrl-C does.
func (b *background) interrupt() {
	b.t.Helper()
	require.NoError(b.t, b.cmd.Process.Signal(os.Interrupt))
	for range b.lines { // to its end
	}
	require.NoError(b.t, b.cmd.Wait())
}
