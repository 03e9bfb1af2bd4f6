package testnet

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is one run of the program that was started here.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	exit int           // its status, once done; -1: a signal ended it
}

// launch starts the program at path; what it says is appended to the file at log.
func launch(t *testing.T, path, log string, args ...string) *process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer out.Close() //nolint:errcheck // the process has its own handle
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the status tells it
		p.exit = p.cmd.ProcessState.ExitCode()
	}()
	return p
}

// kill is kill -9, waited for.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// ends waits for the end, at most d, and gives the exit status.
func (p *process) ends(t *testing.T, d time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.exit
	case <-time.After(d):
		require.FailNow(t, "the process did not end", "after %v", d)
		return 0
	}
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}
