package logmesh

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
	"github.com/zeebo/blake3"

	"github.com/logmesh/logmesh/codec"
)

// TicketPrefix begins the text form of every ticket; the 1 is its version.
const TicketPrefix = "logmesh1:"

// Limits of a ticket.
const (
	MaxTicketPeers = 16      // addresses in one ticket
	MaxNameBytes   = 128     // bytes in a network's or group's name
	GroupKeyBytes  = 32      // bytes in a group key
	maxTicketText  = 8 << 10 // bytes in a ticket's text form
	ticketSumBytes = 4       // bytes of BLAKE3 at the end, against cut and damaged copies
)

// Ticket is what a node needs to join a group, as one text to paste: the names
// of network and group and where its members listen. Key is usually nil: the
// group key travels on its own, because whoever holds it is trusted by the
// whole group.
type Ticket struct {
	Network string   `cbor:"1,keyasint"`
	Group   string   `cbor:"2,keyasint"`
	Peers   []string `cbor:"3,keyasint"`           // multiaddrs that end in /p2p/ID
	Key     []byte   `cbor:"4,keyasint,omitempty"` // 32 bytes, or none
}

// TicketError says which part of a ticket is wrong.
type TicketError struct {
	Part string // prefix, encoding, checksum, content, network, group, peer or key
	Why  string
}

func (e *TicketError) Error() string { return "bad ticket: " + e.Part + ": " + e.Why }

var (
	ticketEnc = mustMode(cbor.CoreDetEncOptions().EncMode())
	ticketDec = mustMode(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   4,
		MaxArrayElements:  MaxTicketPeers,
		MaxMapPairs:       16,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode())
)

func mustMode[T any](mode T, err error) T {
	if err != nil {
		panic("cbor: " + err.Error()) // the options above are constants
	}
	return mode
}

// IsTicket reports whether s is meant to be a ticket and not a multiaddr.
func IsTicket(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "logmesh") }

// String is the text form: TicketPrefix and base64url of canonical CBOR and a
// checksum. It does not check the ticket; Validate does.
func (t Ticket) String() string {
	body, err := ticketEnc.Marshal(t)
	if err != nil {
		panic("ticket: " + err.Error()) // strings and bytes always encode
	}
	return TicketPrefix + base64.RawURLEncoding.EncodeToString(append(body, ticketSum(body)...))
}

func ticketSum(body []byte) []byte {
	sum := blake3.Sum256(body)
	return sum[:ticketSumBytes]
}

// ParseTicket reads what Ticket.String wrote. Every error is a *TicketError
// that names the wrong part.
func ParseTicket(s string) (Ticket, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), TicketPrefix)
	if !ok {
		return Ticket{}, &TicketError{"prefix", "a ticket begins with " + TicketPrefix}
	}
	if len(text) > maxTicketText {
		return Ticket{}, &TicketError{"encoding", fmt.Sprintf("%d characters, at most %d are allowed", len(text), maxTicketText)}
	}
	if strings.ContainsAny(text, "\r\n") {
		return Ticket{}, &TicketError{"encoding", "it is broken over two lines; copy it as one line"}
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Ticket{}, &TicketError{"encoding", base64Why(text, err)}
	}
	if len(data) <= ticketSumBytes {
		return Ticket{}, &TicketError{"encoding", "too short: the end is missing"}
	}
	body, sum := data[:len(data)-ticketSumBytes], data[len(data)-ticketSumBytes:]
	if !bytes.Equal(sum, ticketSum(body)) {
		return Ticket{}, &TicketError{"checksum", "a part is missing or changed; copy the whole line again"}
	}
	return decodeTicket(body)
}

func base64Why(text string, err error) string {
	var at base64.CorruptInputError
	if errors.As(err, &at) && int(at) < len(text) {
		r, _ := utf8.DecodeRuneInString(text[at:])
		return fmt.Sprintf("%q at character %d after the prefix does not belong there", r, int(at)+1)
	}
	return "the end is missing; copy the whole line again"
}

func decodeTicket(body []byte) (t Ticket, err error) {
	if err := ticketDec.Unmarshal(body, &t); err != nil {
		return Ticket{}, &TicketError{"content", err.Error()}
	}
	if again, err := ticketEnc.Marshal(t); err != nil || !bytes.Equal(again, body) {
		return Ticket{}, &TicketError{"content", "not in canonical form"}
	}
	return t, t.Validate()
}

// Validate checks names, peers and key. Its error is a *TicketError.
func (t Ticket) Validate() error {
	if err := checkName(t.Network); err != nil {
		return &TicketError{"network", err.Error()}
	}
	if err := checkName(t.Group); err != nil {
		return &TicketError{"group", err.Error()}
	}
	if len(t.Peers) == 0 || len(t.Peers) > MaxTicketPeers {
		return &TicketError{"peer", fmt.Sprintf("%d addresses, from 1 to %d are allowed", len(t.Peers), MaxTicketPeers)}
	}
	for i, p := range t.Peers {
		if err := checkPeerAddr(p); err != nil {
			return &TicketError{"peer", fmt.Sprintf("address %d: %v", i+1, err)}
		}
	}
	if len(t.Key) != 0 && len(t.Key) != GroupKeyBytes {
		return &TicketError{"key", fmt.Sprintf("%d bytes, it must have %d", len(t.Key), GroupKeyBytes)}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > MaxNameBytes:
		return fmt.Errorf("the name has %d bytes, at most %d are allowed", len(name), MaxNameBytes)
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	}
	return nil
}

// checkPeerAddr checks the shape of a peer's address; p2p parses it in full.
func checkPeerAddr(addr string) error {
	at := strings.LastIndex(addr, "/p2p/")
	switch {
	case len(addr) > codec.MaxAddrBytes:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(addr), codec.MaxAddrBytes)
	case !strings.HasPrefix(addr, "/"):
		return fmt.Errorf("%q is not a multiaddr: it must begin with /, as in /ip4/127.0.0.1/tcp/4001/p2p/12D3Koo…", addr)
	case at < 0 || at+len("/p2p/") == len(addr):
		return fmt.Errorf("%q does not say whose it is: /p2p/ID is missing at the end", addr)
	}
	return nil
}
