package p2p

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBareStream(t *testing.T) {
	a, err := NewBare(seed(1), func(s Stream) { _, _ = io.CopyN(s, s, 3) })
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()
	b, err := NewBare(seed(2), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	addr, err := a.Addr()
	require.NoError(t, err)
	s, err := b.Open(context.Background(), addr)
	require.NoError(t, err)
	_, err = s.Write([]byte("abcdef"))
	require.NoError(t, err)
	got, err := io.ReadAll(s) // to the end: who serves closes the stream
	require.NoError(t, err)
	require.Equal(t, "abc", string(got))

	_, err = b.Open(context.Background(), "/ip4/127.0.0.1/tcp/1")
	require.ErrorContains(t, err, "/ip4/127.0.0.1/tcp/1")
}
