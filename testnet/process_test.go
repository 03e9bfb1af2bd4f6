package testnet

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
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

// suspend stops the process until SIGCONT, and returns once every thread of it stands
// still: when the signal is sent, it is only on its way. Where the system does not
// show its threads, nothing is waited for.
func (p *process) suspend(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	threads := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	eventually(t, func() bool {
		files, err := filepath.Glob(threads)
		require.NoError(t, err)
		return !p.running() || !slices.ContainsFunc(files, runs)
	}, "a process is suspended")
}

// runs reports whether the thread of a file /proc/PID/task/TID/stat is not stopped:
// its state follows the name, which is in parentheses.
func runs(file string) bool {
	stat, err := os.ReadFile(file)
	_, state, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return err == nil && ok && !bytes.HasPrefix(state, []byte("T"))
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
