package main

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestKeyFileForms(t *testing.T) {
	key := []byte("0123456789abcdef0123456789ABCDE?")
	path := filepath.Join(t.TempDir(), "key")
	for _, text := range []string{
		base64.StdEncoding.EncodeToString(key) + "\n",
		base64.RawStdEncoding.EncodeToString(key),
		" " + hex.EncodeToString(key) + "\r\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		got, err := readKeyFile(path)
		require.NoError(t, err, "%q", text)
		require.Equal(t, key, got)
	}
	for _, text := range []string{"", "\n", "short", strings.Repeat("z", 64), hex.EncodeToString(key) + "00", base64.StdEncoding.EncodeToString(key[1:])} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := readKeyFile(path)
		require.ErrorContains(t, err, "is not a group key", "%q", text)
	}
	_, err := readKeyFile(t.TempDir())
	require.ErrorContains(t, err, "is a directory")
}

// No key leads out of the directory of an export: what checkFileKey lets pass is
// local, and has one spelling only.
func TestFileKeysAreLocal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", ".", "..", "", "/", "b", "...", "\x00", "ä"}), 1, 6).Draw(t, "parts"), "/")
		local := filepath.IsLocal(key) && filepath.Clean(key) == key && key != "." && !strings.Contains(key, "\x00")
		if err := checkFileKey(key); (err == nil) != local {
			t.Fatalf("%q: %v", key, err)
		}
	})
}

func TestDataDirIsOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node")
	d, err := openDir(path)
	require.NoError(t, err)
	require.NoError(t, d.ready(nodeFile{PID: 42, Addrs: []string{"/ip4/127.0.0.1/tcp/1/p2p/X"}}))
	_, err = openDir(path)
	require.ErrorContains(t, err, "is in use by process 42")
	d.close()
	require.NoFileExists(t, filepath.Join(path, nodeFileName))

	// A killed node leaves its node.json; the next start takes it away.
	require.NoError(t, writeNodeFile(path, nodeFile{PID: 42}))
	d, err = openDir(path)
	require.NoError(t, err)
	defer d.close()
	require.NoFileExists(t, filepath.Join(path, nodeFileName))
}

func TestLastListen(t *testing.T) {
	d, err := openDir(t.TempDir())
	require.NoError(t, err)
	defer d.close()
	require.Empty(t, d.lastListen())
	l := takePort(t)
	port := l.port
	addr := "/ip4/127.0.0.1/tcp/" + port
	require.NoError(t, d.ready(nodeFile{Addrs: []string{addr + "/p2p/X"}}))
	require.Empty(t, d.lastListen(), "the port is taken")
	l.free()
	require.Equal(t, []string{addr}, d.lastListen())
	require.NoError(t, d.ready(nodeFile{Addrs: []string{"/ip4/192.0.2.1/tcp/1/p2p/X"}}))
	require.Empty(t, d.lastListen(), "given by --listen")
}

func TestWriteWholeReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two"} {
		require.NoError(t, writeWhole(path, []byte(text)))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Error(t, writeWhole(filepath.Join(dir, "none", "f"), nil))
}
