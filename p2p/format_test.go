package p2p

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/logmesh/logmesh/codec"
)

// The bytes of doc.go, computed by another implementation (Python's hmac).
func TestFormats(t *testing.T) {
	key := derive(groupKey(1), bondLabel)
	x := exchange{group: logID(1), dialer: "dialer", listener: "listener", dialerNonce: logID(2), listenerNonce: logID(3)}
	mac := x.prove(key, sideDialer, claims{log: logID(4), machine: "kv/1", version: 1})
	require.Equal(t, "77678a50f5980bbeb4ca818e416dc9b6cf977e4a1d32a1ef3d21e91f031b3abc", mac.String())
	mac = x.prove(key, sideListener, claims{log: logID(4), machine: "kv/1", version: 1})
	require.Equal(t, "022e74731a462a968f53061264cac2b6508f5076f4048a82d4d6a4d51995eead", mac.String())
	mac = x.prove(key, sideDialer, claims{log: logID(4), machine: "kv/1", version: 1, before: []codec.Recovery{{Log: logID(5), Index: 6}, {Log: logID(7), Index: 8}}})
	require.Equal(t, "ee4c50a4a495f360b0503db60f2c2a19b34e8c2d21a11987d73e2dfce4649690", mac.String())

	gossip := derive(groupKey(1), gossipLabel)
	require.Equal(t, "35b4ca07bf50322f0212130582eee56c7830c083fb7e1a312cf1b7227cb0ddb7", hex.EncodeToString(gossip[:]))
	sealed := newSeal(groupKey(1), logID(1)).close("author", []byte("hello"))
	aead, err := chacha20poly1305.NewX(gossip[:])
	require.NoError(t, err)
	id := logID(1)
	plain, err := aead.Open(nil, sealed[:24], sealed[24:], []byte("logmesh/1/gossip"+string(id[:])+"author"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(plain))
}
