// Package codec is the vocabulary of logmesh and its bytes: positions in the
// log, entries, blocks, the block tree, configurations, and every message that
// members exchange, each with its size limit and a strict decoder.
//
// Everything here is pure: values in, values out. Encodings are CBOR in Core
// Deterministic form (RFC 8949 §4.2), and a decoder accepts that form only, so
// equal values have equal bytes on every member, on the wire and on disk.
// FORMATS.md beside this file has the byte tables.
//
// Two encodings are written by hand because they are on the path of every
// entry: blocks (AppendBlock, DecodeBlock) and command envelopes
// (AppendCommand, DecodeCommand). Both are ordinary CBOR; tests hold them equal
// to the library that encodes the messages.
package codec
