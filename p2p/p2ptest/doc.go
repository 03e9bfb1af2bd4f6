// Package p2ptest is a network in virtual time, for tests in testing/synctest
// bubbles: links with a rate and a delay that carry QUIC (go-libp2p's x/simlibp2p
// on github.com/marcopolo/simnet), hosts on them, what raw libp2p streams make of
// the same links, and faults of the streams. It promises no compatibility.
//
// A node's uplink and its downlink have a rate each; each queues fairly among its
// flows and drops by CoDel what waits too long (RFC 8290), so that senders find
// the rate as they do on the internet. Between the two lies half of the round
// trip. Nothing costs time but the links: processors are infinitely fast.
package p2ptest
