package machine

import "github.com/logmesh/logmesh/codec"

// Limits of outcomes and queries, part of the meaning of the log.
const (
	// MaxResult is the most that the result of one command may hold, in bytes.
	MaxResult = 1 << 20
	// MaxReason is the most that the reason of a rejection may hold, in bytes;
	// what is longer is cut.
	MaxReason = 256
	// MaxSignature is the most that a signature may hold, in bytes.
	MaxSignature = 256
)

// Machine is a deterministic state machine; see the package comment for what
// that asks of it. Its calls are serial: no two run at the same time. A new
// Machine is in its initial state, the same for all instances.
//
// All bytes that a Machine is given are valid until the call returns, and must
// not be changed: it copies what it keeps.
type Machine interface {
	// Signature is the name and version of the meaning of commands and state,
	// such as "kv/1": 1 to MaxSignature bytes, the same at every call. Members
	// whose signatures differ refuse each other.
	Signature() string

	// Apply applies the commands of a batch in order, and gives each its outcome.
	Apply(b *Batch)

	// Query answers a question about the state without changing it: it appends
	// the answer to dst. An error says that the question itself was wrong; it is
	// told to whoever asked.
	Query(dst, query []byte) ([]byte, error)

	// Digest is a hash of the state alone. It does not change the state.
	Digest() codec.Digest
}
