package disk

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// What is durable is what the worst crash leaves: in the tail or in a block.
func TestDurable(t *testing.T) {
	d := New()
	l := founded(t, d, 10)
	last := codec.Cursor{Index: 11, Term: 1}
	require.NoError(t, l.Save(commands(11, 11, 1), nil, false))
	require.False(t, d.Durable(last))
	require.NoError(t, l.Save(nil, nil, true))
	require.True(t, d.Durable(last))
	require.False(t, d.Durable(codec.Cursor{Index: 11, Term: 2}))
	require.False(t, d.Durable(codec.Cursor{Index: 12, Term: 1}))

	require.NoError(t, l.Save(commands(12, 300, 1), &codec.HardState{Term: 1, Commit: 300}, true))
	_, err := l.Seal(300)
	require.NoError(t, err)
	require.NoError(t, l.Save(nil, nil, true))
	for _, i := range []codec.Index{1, 128, 129, 256, 257, 300} {
		require.True(t, d.Durable(codec.Cursor{Index: i, Term: 1}), "index %d", i)
	}
}
