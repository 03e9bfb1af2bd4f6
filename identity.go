package logmesh

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/logmesh/logmesh/p2p"
)

// NewKey is a fresh group key of 32 random bytes.
func NewKey() []byte {
	key := make([]byte, p2p.GroupKeySize)
	fillRandom(key)
	return key
}

// fillRandom fills b from the system's source; crypto/rand.Read never fails.
func fillRandom(b []byte) { _, _ = rand.Read(b) }

const (
	identityFile = "identity.key"
	groupsDir    = "groups"
)

// loadIdentity reads the node's seed from dir, or makes one if dir has no
// groups yet: a new identity is never put over old data.
func loadIdentity(dir string) ([]byte, error) {
	path := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newIdentity(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's identity: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the node's identity: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != p2p.SeedSize {
		return nil, fmt.Errorf("%s does not hold an identity: %d hexadecimal characters are expected", path, 2*p2p.SeedSize)
	}
	return seed, nil
}

func newIdentity(dir, path string) ([]byte, error) {
	if old, err := os.ReadDir(filepath.Join(dir, groupsDir)); err == nil && len(old) > 0 {
		return nil, fmt.Errorf("%s is missing, but %s holds the groups of the node it belonged to; put the file back, or start with an empty directory", path, dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the node's directory: %w", err)
	}
	seed := make([]byte, p2p.SeedSize)
	fillRandom(seed)
	if err := writeNew(path, []byte(hex.EncodeToString(seed)+"\n")); err != nil {
		return nil, fmt.Errorf("write the node's identity: %w", err)
	}
	return seed, nil
}

// writeNew writes a file that only its owner may read and that does not exist
// yet, durably.
func writeNew(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.Sync()
}
