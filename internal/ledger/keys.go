package ledger

import (
	"encoding/binary"

	"github.com/logmesh/logmesh/codec"
)

// formatVersion is the version of everything in FORMAT.md. Other versions are
// refused.
const formatVersion = 1

// The first byte of a key says what the record is; numbers in keys are 8 bytes,
// big-endian, so that they sort. FORMAT.md has the table.
const (
	prefixApplied = 'a' // raft-applied and the configuration there
	prefixBlock   = 'b' // block number → encoding
	prefixConfig  = 'c' // number of blocks → configuration after them
	prefixEntry   = 'e' // index → entry of the tail
	prefixFormat  = 'f' // format version
	prefixGaps    = 'g' // blocks that a repair could not save
	prefixHard    = 'h' // hard state
	prefixFirst   = 'i' // first index of a block → its number
	prefixLog     = 'l' // log id
	prefixSpan    = 'n' // block number → where it lies in the log
	prefixOwner   = 'o' // group, peer and salt
	prefixHead    = 's' // head of the synced view
	prefixNode    = 't' // level and number → node of the block tree
	prefixView    = 'v' // bounds of the raft view
	prefixRemoved = 'x' // index of the entry that removed this node
)

func single(prefix byte) []byte { return []byte{prefix} }

func numbered[T ~uint64](prefix byte, n T) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, uint64(n))
}

// numberOf is the number at the end of a key that numbered or nodeKey made.
func numberOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

func nodeKey(n codec.TreeNode) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixNode, byte(n.Level)}, n.Number)
}

// after is the first key behind all keys that begin with prefix.
func after(prefix byte) []byte { return []byte{prefix + 1} }
