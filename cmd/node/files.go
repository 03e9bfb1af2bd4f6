package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/logmesh/logmesh"
)

// Names in a data directory.
const (
	nodeFileName   = "node.json"
	keyFileName    = "group.key"
	lockFileName   = "lock"
	listenFileName = "listen"
	groupsDir      = "groups" // made by the node: a ledger for each group
)

// defaultData is where a node keeps its data if nothing else is said: the XDG
// data directory.
func defaultData() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "logmesh"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", hinted(fmt.Errorf("no place for data: %w", err), "give one with --data DIR")
	}
	return filepath.Join(home, ".local", "share", "logmesh"), nil
}

// nodeFile is DIR/node.json: what scripts and the command line need to reach
// the node that runs in DIR. It is there while the node is ready.
type nodeFile struct {
	ID      string   `json:"id"`
	Network string   `json:"network"`
	Group   string   `json:"group"`
	Addrs   []string `json:"addrs"`  // multiaddrs with /p2p
	API     string   `json:"api"`    // host:port
	PID     int      `json:"pid"`    // of the process
	Ticket  string   `json:"ticket"` // without the key
}

func readNodeFile(dir string) (f nodeFile, err error) {
	path := filepath.Join(dir, nodeFileName)
	data, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func writeNodeFile(dir string, f nodeFile) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, nodeFileName), append(data, '\n'))
}

// writeWhole replaces a file: readers see the old content or the new.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// newKeyFile makes a file with a fresh group key that only its owner can read.
// It never overwrites.
func newKeyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return hinted(fmt.Errorf("%s exists already and is not overwritten", path), "name another file, or use the key that is there")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, base64.StdEncoding.EncodeToString(logmesh.NewKey()))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// readKeyFile reads a group key: one line, base64 or hexadecimal.
func readKeyFile(path string) ([]byte, error) {
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	line := strings.TrimSpace(string(data))
	decode := base64.RawStdEncoding.DecodeString
	if len(line) == hex.EncodedLen(logmesh.GroupKeyBytes) {
		decode = hex.DecodeString
	}
	key, err := decode(strings.TrimRight(line, "="))
	if err != nil || len(key) != logmesh.GroupKeyBytes {
		return nil, hinted(fmt.Errorf("%s is not a group key: it must be one line, %d bytes in base64 or hexadecimal", path, logmesh.GroupKeyBytes), "make one with `logmesh key new FILE`")
	}
	return key, nil
}

// checkPrivate refuses a secret that others may read.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a directory, not a key file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return hinted(fmt.Errorf("%s can be read by others (mode %04o)", path, mode), "chmod 600 %s", path)
	}
	return nil
}
