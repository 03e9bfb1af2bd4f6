// Package testnet holds local networks of real processes on which the node is
// tried: quickstart.sh and chaos.sh for people, and tests that drive the built
// program as a user does, by its command line, signals, directories and local API.
//
// Links are cut inside the node, because no proxy between two of them can do it:
// peers tell each other their real addresses. A build with the tag chaos obeys a
// socket that its flag --chaos-socket names, a line in each connection:
//
//	block PEER…      close and refuse connections with them, in both directions
//	mute PEER…       read nothing of what they send: a link that is one-way
//	unblock [PEER…]  mend these links, or all
//	status           which are blocked, and which muted
//
// The answer is a line that begins with ok or error. No other build has any of it.
//
// The tests name the rows of docs/guarantees.md that they cover. They listen on
// free loopback ports and end only the processes that they started. How hard
// they try can be raised:
//
//	go test ./testnet -run Kill -v -kills 20 -seed 7
//	go test ./testnet -run Chaos -v -minutes 3 -nodes 5
//	go test ./testnet -run PartitionHeals -v -parted 70s
//	go test ./testnet -run PausedLeader -v -paused 10s
package testnet
