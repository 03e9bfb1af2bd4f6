// Package kv is a key-value machine in memory: put, delete, compare-and-swap,
// get, and scans by prefix in pages. Keys are UTF-8 of 1 to MaxKey bytes and are
// ordered by their bytes; values are up to MaxValue bytes.
//
// # Encoding
//
// Everything is CBOR in Core Deterministic form (RFC 8949 §4.2), and decoders
// accept that form only. Keys are text strings, values byte strings; null stands
// for "there is none".
//
//	command   put     [1, key, value]
//	          delete  [2, key]
//	          cas     [3, key, old or null, new or null]
//	result    put     true if the key existed before
//	          delete  true if the key existed before
//	          cas     true if the key had the old value, and has the new one now
//	query     get     [1, key]
//	          scan    [2, prefix, after, limit, keys only]
//	answer    get     value or null
//	          scan    [more, [key, value, key, value, …]]; with keys only, each value is null
//
// A command must fit into codec.MaxCommand bytes, which matters for cas only:
// its two values share that.
//
// A command that breaks a rule is rejected, with one of a few fixed reasons. A
// compare-and-swap that finds another value is not a rejection.
//
// # Digest
//
// The digest is a machine.MultisetHash of the pairs; a pair's element is the
// CBOR of its key followed by that of its value.
package kv
