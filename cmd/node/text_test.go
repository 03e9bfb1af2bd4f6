package main

import (
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

type port struct {
	l    net.Listener
	port string
}

// takePort takes a free TCP port of loopback.
func takePort(t *testing.T) port {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, p, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port{l, p}
}

func (p port) free() { _ = p.l.Close() }

func TestNearest(t *testing.T) {
	names := []string{"found", "listen", "join", "data", "serve-rate"}
	for word, want := range map[string]string{
		"fuond": "found", "lsten": "listen", "jion": "join", "servrate": "serve-rate", "date": "data", "xyzzy": "", "zz": "",
	} {
		require.Equal(t, want, nearest(word, names), word)
	}
	require.Equal(t, 3, distance("kitten", "sitting"))
	require.Equal(t, 4, distance("", "four"))
}

func TestByteRate(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "8388608": 8388608, "8MiB": 8 << 20, "8MiB/s": 8 << 20, "8MB": 8e6, "3 kB": 3000, "1GiB": 1 << 30,
	} {
		var r byteRate
		require.NoError(t, r.Set(text), text)
		require.Equal(t, want, int64(r), text)
	}
	for _, text := range []string{"", "-1", "x", "8mib", "1.5MB", "99999999999GiB", "MiB"} {
		require.Error(t, new(byteRate).Set(text), text)
	}
}

func TestNumbersForPeople(t *testing.T) {
	require.Equal(t, "0", grouped(0))
	require.Equal(t, "999", grouped(999))
	require.Equal(t, "1,000", grouped(1000))
	require.Equal(t, "1,234,567", grouped(uint64(1234567)))
	require.Equal(t, "111.2", megabytes(111_249_999))
	require.Equal(t, "0 %", percent(1, 0))
	require.Equal(t, "33.3 %", percent(1, 3))
	require.Equal(t, "4.5 s", roughly(4500*time.Millisecond))
	require.Equal(t, "1m5s", roughly(65*time.Second))
	require.Equal(t, "time left unknown", timeLeft(-1))
	require.Equal(t, `plain ä`, quoted("plain ä"))
	require.Equal(t, `"two\nlines"`, quoted("two\nlines"))
	require.Equal(t, `"\xff"`, quoted("\xff"))
}

// Whatever a node says, its screen has 80 columns and 24 lines.
func TestScreenFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 200, -1)
		st := logmesh.Status{
			Network: text.Draw(t, "network"), Group: text.Draw(t, "group"), Peer: codec.PeerID(text.Draw(t, "peer")),
			Phase: logmesh.PhaseCatchingUp, Detail: text.Draw(t, "detail"), Committed: codec.Index(rapid.Uint64().Draw(t, "committed")),
			Alerts: rapid.SliceOfN(text, 0, 9).Draw(t, "alerts"), BlockEnd: 1,
			Replay: &logmesh.ReplayStatus{Of: codec.Index(rapid.Uint64().Draw(t, "of"))},
			Sync:   &logmesh.SyncStatus{Waiting: text.Draw(t, "waiting"), Peers: make([]logmesh.SyncPeer, rapid.IntRange(0, 20).Draw(t, "givers"))},
		}
		for range rapid.IntRange(0, 300).Draw(t, "members") {
			st.Members = append(st.Members, logmesh.MemberStatus{Peer: "peer", Role: codec.RoleVoter, Addrs: []string{"/ip4/127.0.0.1"}, Trails: 1e18})
		}
		lines := strings.Split(strings.TrimSuffix(screen(st), "\n"), "\n")
		if len(lines) > screenLines {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > screenColumns {
				t.Fatalf("%d columns: %s", n, line)
			}
		}
	})
}

func TestSizedRoot(t *testing.T) {
	hash := strings.Repeat("5c", 32)
	var r sizedRoot
	require.NoError(t, r.Set("1024:"+hash))
	require.Equal(t, uint64(1024), r.Blocks)
	require.Equal(t, "1024:"+hash, r.String())
	for _, text := range []string{"", "1024", "0:" + hash, "-1:" + hash, "1024:", "1024:5c", "x:" + hash, hash} {
		require.Error(t, new(sizedRoot).Set(text), text)
	}
}
