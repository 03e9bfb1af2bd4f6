package codec

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/zeebo/blake3"
)

// Domain separation bytes: the first byte of every hash input says what is hashed.
const (
	domainLeaf  = 0x00
	domainNode  = 0x01
	domainLogID = 0x02
)

// Hash is a BLAKE3-256 value.
type Hash [32]byte

// String is the hash in lower-case hexadecimal, 64 characters.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short is the first 8 hexadecimal characters, for people.
func (h Hash) Short() string { return hex.EncodeToString(h[:4]) }

// IsZero reports whether h is the zero value, which means "none".
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText writes what String gives, so that JSON shows a hash as text.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// ParseHash reads what Hash.String wrote.
func ParseHash(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%q is not a hash of 64 hexadecimal characters", s)
	}
	copy(h[:], b)
	return h, nil
}

// Digest is the digest of a machine's state together with its client sessions.
// Members at the same applied index have the same digest, whatever path led
// them there.
type Digest = Hash

// LogID names a log of a group: another founding under the same names is another
// log, and so is what a recovery goes on with when a majority was lost for good.
// The zero LogID is said by a node that does not know it yet.
type LogID = Hash

// LogIDOf is the id of the log that begins with an entry, a founding or a
// recovery, that holds data. Both hold a random nonce.
func LogIDOf(data []byte) LogID {
	h := blake3.New()
	_, _ = h.Write([]byte{domainLogID})
	_, _ = h.Write(data)
	var id LogID
	h.Sum(id[:0])
	return id
}

// NetworkID is a hash of a network's name.
type NetworkID = Hash

// GroupID is a hash of a network's id and a group's name. Equal names give
// equal ids; what differs beyond the name (key, machine, log) is told apart by
// the handshake, by name, instead of never meeting.
type GroupID = Hash

// NetworkIDOf is the id of the network called name.
func NetworkIDOf(name string) NetworkID {
	return blake3.Sum256([]byte("logmesh/1/network/" + name))
}

// GroupIDOf is the id of the group called name in network.
func GroupIDOf(network NetworkID, name string) GroupID {
	return blake3.Sum256([]byte("logmesh/1/group/" + string(network[:]) + name))
}

// PeerID is a libp2p peer id in its text form (base58). It is a string so that
// libp2p's types need not be known outside p2p.
type PeerID string

// Short is the last 6 characters, for people.
func (p PeerID) Short() string {
	if len(p) <= 6 {
		return string(p)
	}
	return string(p[len(p)-6:])
}

// RaftID names one incarnation of a member: a node whose directory was lost
// comes back under another one. 0 means none.
type RaftID uint64

// String is the id as 16 hexadecimal digits.
func (id RaftID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText writes what String gives, so that JSON shows an id as text: as a
// number it would not survive readers that keep 53 bits.
func (id RaftID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *RaftID) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil || len(text) != 16 {
		return fmt.Errorf("%q is not a raft id of 16 hexadecimal digits", text)
	}
	*id = RaftID(n)
	return nil
}

// RaftIDOf derives a raft id: the first 8 bytes of BLAKE3(peer id ‖ salt). salt
// is made once with the ledger and never again.
func RaftIDOf(peer PeerID, salt [16]byte) RaftID {
	sum := blake3.Sum256(append([]byte(peer), salt[:]...))
	var id RaftID
	for _, b := range sum[:8] {
		id = id<<8 | RaftID(b)
	}
	if id == 0 {
		return 1 // 0 means none
	}
	return id
}

// Index is the position of an entry in the log. The first entry has index 1; 0
// means none.
type Index uint64

// Term is a Raft term (Ongaro's thesis, section 3.3). 0 means none.
type Term uint64

// Cursor is a position in the log together with the term of its entry.
type Cursor struct {
	_     struct{} `cbor:",toarray"`
	Index Index
	Term  Term
}

// String is "index@term".
func (c Cursor) String() string {
	return strconv.FormatUint(uint64(c.Index), 10) + "@" + strconv.FormatUint(uint64(c.Term), 10)
}

// Kind tells entries apart exactly as Raft does.
type Kind uint8

// The kinds of entry.
const (
	KindNoop    Kind = 0 // empty; written by a new leader, or to close a block
	KindCommand Kind = 1 // data is a command envelope, see AppendCommand
	KindConfig  Kind = 2 // data is a marshalled raftpb.ConfChangeV2
)

func (k Kind) String() string {
	switch k {
	case KindNoop:
		return "noop"
	case KindCommand:
		return "command"
	case KindConfig:
		return "config"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// MaxEntryData is the most that an entry's data may hold, in bytes.
const MaxEntryData = 1<<20 + 64<<10

// Entry is one entry of the log.
type Entry struct {
	Index Index
	Term  Term
	Kind  Kind
	Data  []byte
}

// Cursor is the entry's position.
func (e Entry) Cursor() Cursor { return Cursor{Index: e.Index, Term: e.Term} }
