//go:build race

package virtual

import (
	"flag"
	"os"
	"testing"
)

// Under the race detector virtual time is dear. Unless -run says otherwise, one
// scenario with faults runs: it goes through all the code that the others do.
func TestMain(m *testing.M) {
	flag.Parse()
	if run := flag.Lookup("test.run"); run.Value.String() == "" {
		_ = run.Value.Set("^TestFlippedBit$")
	}
	os.Exit(m.Run())
}
