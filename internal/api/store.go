package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/logmesh/logmesh/codec"
)

// Limits of requests. The machine has the last word on keys and values; these
// bound what is read from a socket.
const (
	MaxKey       = 1 << 10 // bytes
	MaxValue     = 1 << 20 // bytes
	MaxPage      = 1000    // items in one page of a scan
	defaultItems = 100
)

// Read is how fresh an answer must be.
type Read string

// The reads.
const (
	Strong Read = "strong" // linearizable, through any member
	Local  Read = "local"  // what this member has applied
)

// Store is a replicated key-value map: the server has one behind it, and
// Client is one.
type Store interface {
	Get(ctx context.Context, key string, read Read) (Value, error)
	Put(ctx context.Context, key string, value []byte) (Written, error)
	Delete(ctx context.Context, key string) (Written, error)
	// Swap fails with CodePrecondition when the key's value is not s.Old.
	Swap(ctx context.Context, key string, s Swap) (Written, error)
	Scan(ctx context.Context, q ScanQuery) (Page, error)
}

// Value is the answer to a get.
type Value struct {
	Found bool
	Data  []byte
	Index codec.Index // the log position at which it was read
}

// Written is the answer to a write.
type Written struct {
	Index   codec.Index `json:"index"`   // where the command stands in the log
	Existed bool        `json:"existed"` // whether the key had a value before
}

// Swap is a compare-and-swap: nil means no value, an empty slice an empty value.
type Swap struct{ Old, New []byte }

// ScanQuery asks for a page of keys in byte order.
type ScanQuery struct {
	Prefix   string
	After    string // only keys above it; empty: from the first
	Limit    int    // 0: 100; at most MaxPage
	KeysOnly bool
	Read     Read
}

// Page is a page of a scan.
type Page struct {
	Items []Item      `json:"items"`
	More  bool        `json:"more"` // there are keys behind the last item
	Index codec.Index `json:"index"`
}

// Item is a key with its value.
type Item struct {
	Key   string `json:"key"`
	Value []byte `json:"value_base64,omitempty"`
}

// ETag is the entity tag of a value.
func ETag(value []byte) string {
	sum := sha256.Sum256(value)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
