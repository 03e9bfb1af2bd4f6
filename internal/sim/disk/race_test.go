//go:build race

package disk_test

import "flag"

// The race detector makes these tests some five times slower, and what it looks for
// is found in fewer runs. Mistakes in the model need many; it is in one goroutine.
func init() {
	for name, value := range map[string]string{"rapid.checks": "10", "long": "3", "stride": "97", "clones": "40", "runs": "0"} {
		_ = flag.Set(name, value)
	}
}
