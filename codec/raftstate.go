package codec

import "errors"

// HardState is what Raft must never forget (thesis, figure 3.1): the current
// term, the vote in it, and the commit index.
type HardState struct {
	Term   Term
	Vote   RaftID
	Commit Index
}

// Errors by which a log says that it cannot give an entry.
var (
	// ErrCompacted: the entry lies below the horizon; only the sync engine serves it.
	ErrCompacted = errors.New("index is below the horizon")
	// ErrUnavailable: the entry is not here (yet).
	ErrUnavailable = errors.New("index is not available")
)
