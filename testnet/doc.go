// Package testnet holds local networks of real processes on which the node is
// tried: quickstart.sh for people, and tests that drive the built program as a
// user does, by its command line, signals, directories and local API.
//
// The tests name the rows of docs/guarantees.md that they cover. They listen on
// free loopback ports and end only the processes that they started. How hard
// they try can be raised:
//
//	go test ./testnet -run Kill -v -kills 20 -seed 7
package testnet
