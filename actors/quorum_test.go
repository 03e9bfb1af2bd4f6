package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// Only voters count, ourselves among them if we are one.
func TestUnreachable(t *testing.T) {
	c := codec.Configuration{}
	for i, m := range []codec.Member{
		{Peer: "e", Role: codec.RoleVoter},
		{Peer: "b", Role: codec.RoleVoter},
		{Peer: "c", Role: codec.RoleVoter},
		{Peer: "o", Role: codec.RoleObserver},
		{Peer: "s", Role: codec.RoleStandby},
	} {
		m.RaftID = codec.RaftID(i + 1)
		c = c.With(m)
	}
	bonds := func(peers ...codec.PeerID) []codec.PeerID { return peers }
	require.Nil(t, unreachable(codec.Configuration{}, "e", nil), "nothing is known yet")
	require.Nil(t, unreachable(c, "e", bonds("b")))
	require.Nil(t, unreachable(c, "o", bonds("b", "c", "s")))
	require.Equal(t, &NoQuorum{Reachable: 1, Voters: 3, Missing: []codec.PeerID{"b", "c"}}, unreachable(c, "e", bonds("o", "s", "x")))
	require.Equal(t, &NoQuorum{Reachable: 1, Voters: 3, Missing: []codec.PeerID{"b", "e"}}, unreachable(c, "o", bonds("c", "s")))
	require.Equal(t, &NoQuorum{Reachable: 0, Voters: 3, Missing: []codec.PeerID{"b", "c", "e"}}, unreachable(c, "s", nil))
}
