//go:build unix

package bench

import (
	"os/exec"
	"syscall"
)

// alone keeps a terminal's interrupt from the process: its parent ends it.
func alone(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
