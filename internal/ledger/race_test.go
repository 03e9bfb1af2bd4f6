//go:build race

package ledger

import "flag"

// The race detector makes the model test some ten times slower; what it looks
// for is found in fewer runs.
func init() { _ = flag.Set("rapid.checks", "10") }
