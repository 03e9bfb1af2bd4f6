// Package virtual holds the tests of whole nodes on networks in virtual time:
// the root package's Open and Join, with all that is below, in a testing/synctest
// bubble, on the links of p2p/p2ptest. docs/simulation.md has the scenarios, the
// figures and the bars.
package virtual
