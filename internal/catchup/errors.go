package catchup

import (
	"fmt"
	"time"
)

// UnservedError says that a block had no holder for too long, although
// everybody was asked again and again.
type UnservedError struct {
	Block  uint64        // the lowest one
	Peers  int           // peers that offered anything, and are still here
	Waited time.Duration // how long it had no holder
}

func (e *UnservedError) Error() string {
	if e.Peers == 0 {
		return fmt.Sprintf("nobody offered any blocks for %v", e.Waited.Round(time.Millisecond))
	}
	return fmt.Sprintf("none of %d peers has block %d, for %v", e.Peers, e.Block, e.Waited.Round(time.Millisecond))
}
