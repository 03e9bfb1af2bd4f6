// Package bench measures logmesh on one machine: a catch-up, and acknowledged
// writes, by whole nodes in processes of their own over loopback TCP. It is what
// `logmesh bench` runs; docs/performance.md says what each figure means.
//
// The process that measures starts copies of its own binary (Self) and tells each
// what to do in lines of JSON over its standard input and output; a copy ends when
// its input does, so none is left behind by a killed parent. See part.go for what
// the copies do.
//
// The log of a catch-up is written into the members' ledgers directly, not through
// consensus: each member makes it for itself, from a seed, and all make the same.
package bench
