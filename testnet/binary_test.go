package testnet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// binary is a build of the program, made once.
type binary struct {
	tags string
	once sync.Once
	dir  string
	err  error
}

var (
	plain binary                  // as users have it
	frail = binary{tags: "chaos"} // with links that can be cut
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, b := range []*binary{&plain, &frail} {
		if b.dir != "" {
			_ = os.RemoveAll(b.dir) // in the system's temporary directory
		}
	}
	os.Exit(code)
}

// program is the path of the program.
func program(t *testing.T) string {
	t.Helper()
	return plain.path(t)
}

func (b *binary) path(t *testing.T) string {
	t.Helper()
	b.once.Do(func() { b.dir, b.err = b.build() })
	require.NoError(t, b.err)
	return filepath.Join(b.dir, "logmesh")
}

func (b *binary) build() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "logmesh-testnet-"); err != nil {
		return "", err
	}
	if err := dependOn("../cmd/node"); err != nil {
		return dir, err
	}
	out, err := exec.Command("go", "build", "-tags", b.tags, "-o", filepath.Join(dir, "logmesh"), "../cmd/node").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("build cmd/node: %w\n%s", err, out)
	}
	return dir, nil
}

// dependOn opens the sources in a folder that no test imports, so that go test
// does not take a result from its cache after they changed.
func dependOn(folder string) error {
	names, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(filepath.Join(folder, name.Name()))
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command of the program to its end.
func run(t *testing.T, args ...string) (output string, exit int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t), args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
