package codec

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestFramesInARow(t *testing.T) {
	var stream []byte
	for _, s := range samples() {
		var err error
		stream, err = AppendFrame(stream, s.m)
		require.NoError(t, err)
	}
	r := iotest.OneByteReader(bytes.NewReader(stream))
	buf := make([]byte, 0, 64)
	for _, s := range samples() {
		typ, body, err := ReadFrame(r, buf, TypeOf(s.m))
		require.NoError(t, err, s.name)
		require.Equal(t, TypeOf(s.m), typ)
		want, err := Encode(s.m)
		require.NoError(t, err)
		require.Equal(t, want, body)
	}
	_, _, err := ReadFrame(r, buf, TypeOpen)
	require.Equal(t, io.EOF, err, "the end between frames is the stream's own")
}

func TestReadFrameUsesTheBuffer(t *testing.T) {
	frame, err := AppendFrame(nil, &Cancel{Lease: 1})
	require.NoError(t, err)
	buf := make([]byte, 16)
	_, body, err := ReadFrame(bytes.NewReader(frame), buf, TypeCancel)
	require.NoError(t, err)
	require.Same(t, &buf[0], &body[0])
}

func TestReadFrameRefuses(t *testing.T) {
	good, err := AppendFrame(nil, &Cancel{Lease: 1})
	require.NoError(t, err)
	for name, frame := range map[string][]byte{
		"a type that is not allowed": good,
		"an unknown type":            AppendFrameHead(nil, 0xff, 0),
		"one byte above the limit":   AppendFrameHead(nil, TypeTrim, TypeTrim.Limit()+1),
		"4 GiB":                      {byte(TypeTrim), 255, 255, 255, 255},
	} {
		_, _, err := ReadFrame(bytes.NewReader(frame), nil, TypeTrim, TypeExtend)
		require.ErrorIs(t, err, ErrFrame, name)
	}
	_, _, err = ReadFrame(bytes.NewReader(AppendFrameHead(nil, 0xff, 0)), nil, 0xff)
	require.NoError(t, err, "an unknown type has limit 0: nothing but an empty body")
}

// A stream that ends inside a frame is an error that says so.
func TestReadFrameShort(t *testing.T) {
	frame, err := AppendFrame(nil, &Cancel{Lease: 1})
	require.NoError(t, err)
	for n := 1; n < len(frame); n++ {
		_, _, err := ReadFrame(bytes.NewReader(frame[:n]), nil, TypeCancel)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d bytes", n)
		require.False(t, errors.Is(err, ErrFrame))
	}
	broken := errors.New("broken")
	_, _, err = ReadFrame(io.MultiReader(bytes.NewReader(frame[:7]), iotest.ErrReader(broken)), nil, TypeCancel)
	require.ErrorIs(t, err, broken)
}

// A lying length takes no memory beyond the type's limit, and none at all when
// it lies above it.
func TestReadFrameLyingLength(t *testing.T) {
	bytesOf := func(frame []byte) uint64 {
		return allocated(func() {
			_, _, err := ReadFrame(bytes.NewReader(frame), nil, TypeFetch)
			require.Error(t, err)
		})
	}
	limit := TypeFetch.Limit()
	require.Less(t, bytesOf(AppendFrameHead(nil, TypeFetch, limit)), uint64(limit+64<<10))
	require.Less(t, bytesOf(AppendFrameHead(nil, TypeFetch, 1<<31)), uint64(64<<10))
}

// allocated is how many bytes f allocates in all, freed ones included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestAppendFrameRefuses(t *testing.T) {
	dst, err := AppendFrame([]byte("kept"), &Fetch{})
	require.Error(t, err)
	require.Equal(t, "kept", string(dst))
	_, err = Encode(&RaftBatch{Messages: [][]byte{make([]byte, TypeRaftBatch.Limit())}})
	require.Error(t, err, "larger than its frame")
}

func TestFrameTypeNames(t *testing.T) {
	require.Equal(t, "Fetch", TypeFetch.String())
	require.Equal(t, "frame type 0xff", FrameType(0xff).String())
	require.Zero(t, FrameType(0xff).Limit())
}
