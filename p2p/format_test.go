package p2p

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"
)

// The bytes of doc.go, computed by another implementation (Python's hmac).
func TestFormats(t *testing.T) {
	key := derive(groupKey(1), bondLabel)
	x := exchange{group: logID(1), dialer: "dialer", listener: "listener", dialerNonce: logID(2), listenerNonce: logID(3)}
	mac := x.prove(key, sideDialer, claims{log: logID(4), machine: "kv/1", version: 1})
	require.Equal(t, "bbd20ef6f3435b44d50a04fbc1a04c67acf4deee1bb3306d48dee7166b78eacf", mac.String())

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
