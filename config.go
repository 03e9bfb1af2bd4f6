package logmesh

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/p2p"
)

// Config says who a node is and where it listens. The zero value is a node
// without a directory, in the network "local", on free loopback ports.
type Config struct {
	// Network is the network's name; nodes meet in networks of equal names.
	// d: "local".
	Network string
	// Data is the node's directory: its identity and its groups' ledgers. It is
	// made if it is missing. Empty: everything lives in memory, under an
	// identity that is forgotten.
	Data string
	// Listen are multiaddrs. d: a free TCP and a free QUIC port of 127.0.0.1.
	Listen []string
	// Peers are multiaddrs with /p2p/ID, or tickets. They are dialled for ever.
	Peers []string
	// NetworkKey, 32 bytes, makes the network private, over TCP only. d: open.
	NetworkKey []byte
	// Logger gets what happens. d: slog.Default.
	Logger *slog.Logger
}

// DefaultNetwork and DefaultGroup are the names that are used when none is given.
const (
	DefaultNetwork = "local"
	DefaultGroup   = "main"
)

func (c Config) withDefaults() Config {
	if c.Network == "" {
		c.Network = DefaultNetwork
	}
	if len(c.Listen) == 0 {
		c.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
		if len(c.NetworkKey) == 0 {
			c.Listen = append(c.Listen, "/ip4/127.0.0.1/udp/0/quic-v1")
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate reports what is wrong with the configuration before anything is
// opened. Addresses are checked when they are used.
func (c Config) Validate() error {
	if n := len(c.NetworkKey); n != 0 && n != p2p.NetworkKeySize {
		return fmt.Errorf("the network key has %d bytes, not %d", n, p2p.NetworkKeySize)
	}
	if len(c.Network) > maxName {
		return fmt.Errorf("the network's name has %d bytes, at most %d are allowed", len(c.Network), maxName)
	}
	return nil
}

// maxName bounds the names of networks and groups, in bytes.
const maxName = 128

// GroupConfig says which group a node takes part in, and how.
type GroupConfig struct {
	// Name is the group's name within the network. d: "main".
	Name string
	// Key is the group key, 32 bytes, which all members know. NewKey makes one.
	Key []byte
	// Found makes a new group of which this node is the first voter. On a
	// directory that has the group already it does nothing. If the node knows
	// peers, it asks them first, and refuses when a founded group answers.
	Found bool
	// Voters is how many voters a group that is founded here wants, 1 to 15.
	// d: 3.
	Voters int
	// Role is RoleVoter (d), a voter when one is needed, or RoleObserver, which
	// follows the log and is never asked.
	Role codec.Role
	// ServeRate limits what this node serves to peers that catch up, in bytes a
	// second. 0: no limit.
	ServeRate int64

	// NoCompression never asks peers to compress the blocks that a catch-up fetches.
	// Otherwise that is tried on links below 32 MiB a second, and kept where more
	// arrives by it.
	NoCompression bool
	// Trust pins the root of the log's block tree at a size, for catching up: it
	// counts as if the voters had agreed on it. Zero blocks: none.
	Trust codec.SizedRoot
	// ReplaceDead is how long a voter may be unreachable before a ready standby
	// takes its place. d: 60 s.
	ReplaceDead time.Duration
}

func (c GroupConfig) withDefaults() GroupConfig {
	if c.Name == "" {
		c.Name = DefaultGroup
	}
	if c.Voters == 0 {
		c.Voters = 3
	}
	if c.Role == 0 {
		c.Role = codec.RoleVoter
	}
	if c.ReplaceDead == 0 {
		c.ReplaceDead = time.Minute
	}
	return c
}

// Validate reports what is wrong with the configuration. Zero values stand for
// their defaults.
func (c GroupConfig) Validate() error {
	switch {
	case len(c.Key) != p2p.GroupKeySize:
		return fmt.Errorf("the group key has %d bytes, not %d; make one with NewKey or `logmesh key new FILE`", len(c.Key), p2p.GroupKeySize)
	case len(c.Name) > maxName:
		return fmt.Errorf("the group's name has %d bytes, at most %d are allowed", len(c.Name), maxName)
	case c.Voters < 0 || c.Voters > codec.MaxVoters:
		return fmt.Errorf("a group of %d voters: 1 to %d are allowed", c.Voters, codec.MaxVoters)
	case c.Role != 0 && c.Role != codec.RoleVoter && c.Role != codec.RoleObserver:
		return fmt.Errorf("role %v cannot be asked for: voter or observer", c.Role)
	case c.ServeRate < 0:
		return errors.New("a negative serve rate")
	case c.Found && c.Role == codec.RoleObserver:
		return errors.New("the node that founds a group is its first voter, not an observer")
	}
	return nil
}
