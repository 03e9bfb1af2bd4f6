package bench

import (
	"bytes"
	"fmt"
	"os"
)

// peakRSS is the most memory that this process ever had resident, in bytes: VmHWM of
// /proc/self/status (proc(5)); 0 where there is no such file.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, line, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(line), &kib); err != nil {
		return 0
	}
	return kib << 10
}
