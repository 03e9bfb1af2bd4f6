package logmesh

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const ticketPeer = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWAfBVdmphtMFPVq3GEpcg3QMiRbrwD9mpd6D6fc4CswRw"

func TestTicketReturns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, 30, MaxNameBytes)
		want := Ticket{
			Network: name.Draw(t, "network"),
			Group:   name.Draw(t, "group"),
			Peers:   slices.Repeat([]string{ticketPeer}, rapid.IntRange(1, MaxTicketPeers).Draw(t, "peers")),
		}
		if rapid.Bool().Draw(t, "keyed") {
			want.Key = rapid.SliceOfN(rapid.Byte(), GroupKeyBytes, GroupKeyBytes).Draw(t, "key")
		}
		got, err := ParseTicket(" " + want.String() + "\n")
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// A ticket is pasted by hand: every cut, and every changed character, is found.
func TestTicketDamage(t *testing.T) {
	whole := Ticket{Network: "local", Group: "main", Peers: []string{ticketPeer}}.String()
	for n := range len(whole) {
		_, err := ParseTicket(whole[:n])
		require.Error(t, err, "cut to %d characters", n)
	}
	for n := range len(whole) {
		other := []byte(whole)
		other[n] ^= 1
		_, err := ParseTicket(string(other))
		var bad *TicketError
		require.ErrorAs(t, err, &bad, "character %d changed", n)
	}
}

func TestTicketSaysWhichPart(t *testing.T) {
	good := Ticket{Network: "local", Group: "main", Peers: []string{ticketPeer}}
	with := func(change func(*Ticket)) string {
		ticket := good
		change(&ticket)
		return ticket.String()
	}
	for _, c := range []struct{ part, text string }{
		{"prefix", "logmesh2:AAAA"},
		{"prefix", ticketPeer},
		{"encoding", TicketPrefix + "AA!A"},
		{"encoding", TicketPrefix},
		{"encoding", TicketPrefix + "AAAA\nAAAA"},
		{"encoding", TicketPrefix + strings.Repeat("A", maxTicketText+1)},
		{"checksum", TicketPrefix + "AAAAAAAAAAAA"},
		{"network", with(func(t *Ticket) { t.Network = "" })},
		{"group", with(func(t *Ticket) { t.Group = strings.Repeat("g", MaxNameBytes+1) })},
		{"peer", with(func(t *Ticket) { t.Peers = nil })},
		{"peer", with(func(t *Ticket) { t.Peers = []string{"127.0.0.1:4001"} })},
		{"peer", with(func(t *Ticket) { t.Peers = []string{"/ip4/127.0.0.1/tcp/4001"} })},
		{"key", with(func(t *Ticket) { t.Key = []byte("short") })},
	} {
		_, err := ParseTicket(c.text)
		var bad *TicketError
		require.ErrorAs(t, err, &bad, c.text)
		require.Equal(t, c.part, bad.Part, "%v", err)
	}
	require.NoError(t, good.Validate())
}

func FuzzParseTicket(f *testing.F) {
	f.Add(Ticket{Network: "local", Group: "main", Peers: []string{ticketPeer}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		ticket, err := ParseTicket(text)
		if err != nil {
			if bad := new(TicketError); !errors.As(err, &bad) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if ticket.String() != strings.TrimSpace(text) {
			t.Fatalf("%q reads as %+v, which is written otherwise", text, ticket)
		}
	})
}
