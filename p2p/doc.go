// Package p2p connects a node with the members of its groups: a libp2p host,
// gossip by which nodes find each other, bonds that prove the group key, and the
// streams on which members talk. It is the only package that knows libp2p; what
// it gives out are bytes, strings and the types of package codec. It knows
// nothing of what the messages mean. It promises no compatibility: the project's
// API is the root package.
//
// # Protocols
//
// Streams carry frames (codec.AppendFrame), each with a limit for its type that
// is checked before memory is taken.
//
//	protocol          opened by                  frames →                          frames ←
//	/logmesh/1/bond   who wants a bond           Hello, Proof                      Hello, Accept or Refuse
//	/logmesh/1/raft   each peer once, for long   RaftOpen, (RaftBatch, Progress)*  (NotMe, RemovedAt, Progress)*
//	/logmesh/1/sync   who catches up, for long   Open, then the Handler's          the Handler's
//	/logmesh/1/reply  who heard a request        Open, AvailabilityReply           none
//	/logmesh/1/call   who asks, once             Open, a question                  Answer
//
// Measurements use /logmesh/1/bare, on hosts that serve nothing else: see Bare.
//
// A one-shot reply has a protocol of its own because the answering side of a
// sync stream speaks first: it could not wait to see which of the two it has.
//
//	topic                               message               size     who may read it
//	/logmesh/1/network/NETWORK          Announcement          16 KiB   everybody in the network
//	/logmesh/1/group/GROUP              AvailabilityRequest   1 KiB    who knows the group key
//
// NETWORK and GROUP are ids in 64 hexadecimal digits. All gossip is signed by
// its author (pubsub's StrictSign). A message that no honest node sends is
// rejected and counts against who passed it on; one that is old, too frequent or
// sealed with another key is ignored, because an honest relay may not know. No
// message is certain to arrive: announcements repeat, requests must be repeated.
//
// # The bond
//
// Before any other stream of a group is served both ends prove the group key.
// The dialer proves first; the listener answers only the right proof. The proof
// is HMAC-SHA-256 under HKDF-SHA-256(group key, no salt, "logmesh/1/bond", 32
// bytes) over these fields, each after its length in 4 bytes, big endian:
//
//	label             "logmesh/1/bond"
//	side              1 byte: 1 the dialer proves, 2 the listener
//	dialer            its peer id, as text
//	listener          its peer id, as text
//	dialer's nonce    32 bytes, from its Hello
//	listener's nonce  32 bytes, from its Hello
//	group id          32 bytes
//	log id            32 bytes; zero: none known yet
//	machine           the signature of the prover's machine
//	version           8 bytes, big endian
//	logs before       the dialer's proof only: for each recovery that ended a
//	                  log, its id, 32 bytes, and the recovery's index, 8 bytes
//
// The first 16 bytes of a nonce name the incarnation of the sender's group: 12
// that are made when it is opened, 4 that count its bonds with this peer that
// ended. The other 16 are made for each attempt. A second proof of the same
// incarnation is harmless, so both sides may dial at once; another incarnation
// ends the old bond, and the Handler sees Unbonded and Bonded.
//
// A wrong proof gets no answer: the stream is reset and the connection closed
// unless another group uses it. A right one with another machine, version or log
// gets a Refuse with both values. Either is told to the Handler once per peer
// and reason, on both sides, and that peer is asked again only after 15 s to
// 5 min. A node that comes back after its group was recovered without it holds a
// log that ended; either side knows, from the logs before in Proof or from Refuse,
// and both say so. Log ids are compared where both sides know theirs; each RaftOpen and
// Open carries it anew, and Rebond looks again when our own becomes known.
//
// A bond ends with the last connection to the peer, when the peer says by a
// reset code that it has none, or when the peer fails a later proof. Streams end
// with the bond on which they were opened.
//
// # Gossip of a group
//
// Requests are sealed with XChaCha20-Poly1305 under HKDF-SHA-256(group key, no
// salt, "logmesh/1/gossip", 32 bytes):
//
//	nonce       24 random bytes
//	ciphertext  of the canonical AvailabilityRequest, and 16 bytes of tag
//
// The additional data is "logmesh/1/gossip" ‖ group id ‖ the author's peer id as
// text, so that nobody can send the bytes of another as its own. The author's
// sequence number, signed by pubsub, must grow.
//
// # Who is dialled
//
// libp2p does not redial. For each peer that a group wants, a keeper tries to
// bond: at once when a bond is new or lost, then after waits of 100 ms to 5 s
// with jitter. Config.Peers and the members that Know names are wanted for ever;
// who announced the group, or was bonded, for 5 minutes since it was last heard
// of. Of two peers that hear of each other the one with the smaller id dials
// first. TCP is tried before QUIC, over which a stream is slower.
//
// # Order, blocking, shutdown
//
// Bonded and Unbonded come from one goroutine per group, in order; what a peer
// sends is handed over only when its Bonded has returned. A Raft stream is read
// by one goroutine: RaftReceived is in order, and while it does not return the
// peer's stream stands still, first in a window of 4 MiB and then in the peer's
// queue. ServeSync has its stream's goroutine for itself. Called has one for
// each call, of which one peer may have 128 at a time. AvailabilityAsked holds
// up the group's gossip, of which 256 messages wait and the rest is lost.
//
// SendRaft, Broadcast, Know, Rebond and Bonds do not wait for peers. What waits
// for one peer's Raft stream is bounded to 32 MiB and 64 droppable messages.
// OpenSync, Reply and Call wait as long as their context lets them. Every read
// and write of a frame has a deadline; a stream that waits for a first byte may
// do so for ever, but there is one of a kind for each bonded peer.
//
// Group.Close ends the contexts of calls and resets all streams, leaves the
// topic and waits for the Handler's methods, up to 10 s. It does not call
// Unbonded. Net.Close closes the groups, then gossip, then the host. Neither may
// be called from a Handler.
//
// # Limits
//
// One peer has at most 8 connections and 256 streams at a time, a sixteenth of the
// streams that may wait for their protocol: nobody can keep others from opening
// theirs. One address, loopback excepted, has at most 64 connections, and 8 new ones
// a second.
//
// Peers are found by bootstrap addresses and announcements, not by mDNS. There
// are no metrics yet. A peer that does not read makes our sends to it fail after
// 20 s; nobody else waits for it.
package p2p
