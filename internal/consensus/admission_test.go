package consensus

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// Admissions fold to the configuration that they say, and nothing else is made.
func TestAdmission(t *testing.T) {
	e, err := Founding(1, codec.ConfigContext{Peer: peerName(1), Nonce: make([]byte, codec.FoundingNonce), Target: 3})
	require.NoError(t, err)
	c, err := Fold(codec.Configuration{}, e)
	require.NoError(t, err)
	for i, role := range []codec.Role{codec.RoleVoter, codec.RoleObserver} {
		id := codec.RaftID(i + 2)
		e, err := Admission(codec.Index(i+2), id, codec.ConfigContext{Peer: peerName(id), Role: role})
		require.NoError(t, err)
		c, err = Fold(c, e)
		require.NoError(t, err)
		m, ok := c.Member(id)
		require.True(t, ok)
		require.Equal(t, role, m.Role)
	}
	require.Equal(t, 2, c.Voters())
	_, err = Admission(4, 4, codec.ConfigContext{Peer: peerName(4)})
	require.ErrorIs(t, err, errChange, "without a role it would be a removal")
	_, err = Admission(4, 0, codec.ConfigContext{Peer: peerName(4), Role: codec.RoleVoter})
	require.ErrorIs(t, err, errChange)
}
