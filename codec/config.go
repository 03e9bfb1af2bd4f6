package codec

import (
	"errors"
	"fmt"
	"slices"
)

// Role is what a member takes part in.
type Role uint8

// The roles. Voters decide; a standby is a Raft learner that is promoted when a
// voter is needed; an observer is a learner that is never promoted.
const (
	RoleVoter    Role = 1
	RoleStandby  Role = 2
	RoleObserver Role = 3
)

var roleNames = map[Role]string{RoleVoter: "voter", RoleStandby: "standby", RoleObserver: "observer"}

func (r Role) String() string {
	if name, ok := roleNames[r]; ok {
		return name
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// MarshalText writes the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a role's name.
func (r *Role) UnmarshalText(text []byte) error {
	for role, name := range roleNames {
		if name == string(text) {
			*r = role
			return nil
		}
	}
	return fmt.Errorf("unknown role %q (voter, standby or observer)", text)
}

// Limits of a configuration.
const (
	MaxMembers   = 256
	MaxAddrs     = 16
	MaxAddrBytes = 256
	MaxVoters    = 15 // the greatest voters target
	MaxRemoved   = 128
)

// Member is one incarnation of a node in a group.
type Member struct {
	RaftID RaftID   `cbor:"1,keyasint"`
	Peer   PeerID   `cbor:"2,keyasint"`
	Role   Role     `cbor:"3,keyasint"`
	Addrs  []string `cbor:"4,keyasint,omitempty"` // multiaddrs, without /p2p
}

// Configuration is who belongs to a group, as the configuration entries up to
// and including Index make it. Members are sorted by RaftID. Values are never
// changed in place.
type Configuration struct {
	Index   Index    `cbor:"1,keyasint"` // of the last configuration entry; 0: none yet
	Target  int      `cbor:"2,keyasint"` // how many voters the group wants
	Members []Member `cbor:"3,keyasint"`
	// Removed are the last MaxRemoved removals, the newest last. A raft id in it
	// is never added again.
	Removed []Removal `cbor:"4,keyasint,omitempty"`

	// Log is the id of the log here: that of the newest founding or recovery
	// entry. Before are the logs that recoveries ended, oldest first, at most
	// MaxBefore of them, the newest.
	Log    LogID      `cbor:"5,keyasint,omitzero"` // zero: no entry 1 yet
	Before []Recovery `cbor:"6,keyasint,omitempty"`
}

// Removal is a member that was removed, and the index of the entry that did it.
type Removal struct {
	_      struct{} `cbor:",toarray"`
	RaftID RaftID
	Index  Index
}

// Recovery is the end of a log: the group lost its majority for good, and the
// recovery entry at Index began another log, which goes on from there.
type Recovery struct {
	_     struct{} `cbor:",toarray"`
	Log   LogID    // that ended
	Index Index    // of the recovery entry; the log before it is shared
}

// MaxBefore is how many recoveries a configuration remembers.
const MaxBefore = 16

// Began is c as the founding or recovery entry e made it the beginning of a log.
func (c Configuration) Began(e Entry) Configuration {
	if !c.Log.IsZero() {
		c.Before = append(slices.Clone(c.Before), Recovery{Log: c.Log, Index: e.Index})
		c.Before = c.Before[max(0, len(c.Before)-MaxBefore):]
	}
	c.Log = LogIDOf(e.Data)
	return c
}

// Ended finds the recovery that ended a log, in what Configuration.Before
// remembers; 0: none.
func Ended(before []Recovery, log LogID) Index {
	for _, r := range before {
		if r.Log == log {
			return r.Index
		}
	}
	return 0
}

// Member finds a member by raft id.
func (c Configuration) Member(id RaftID) (Member, bool) {
	i, ok := c.find(id)
	if !ok {
		return Member{}, false
	}
	return c.Members[i], true
}

// ByPeer finds the member with the given peer id; of several incarnations, the
// one that stands last.
func (c Configuration) ByPeer(p PeerID) (Member, bool) {
	for i := len(c.Members) - 1; i >= 0; i-- {
		if c.Members[i].Peer == p {
			return c.Members[i], true
		}
	}
	return Member{}, false
}

// Voters is the number of voters.
func (c Configuration) Voters() int {
	n := 0
	for _, m := range c.Members {
		if m.Role == RoleVoter {
			n++
		}
	}
	return n
}

// Quorum is the majority of the configured voters: ⌊V/2⌋+1.
func (c Configuration) Quorum() int { return c.Voters()/2 + 1 }

// With is c with m added, or in the place of the member with its raft id.
func (c Configuration) With(m Member) Configuration {
	i, ok := c.find(m.RaftID)
	out := c
	out.Members = slices.Clone(c.Members)
	if ok {
		out.Members[i] = m
	} else {
		out.Members = slices.Insert(out.Members, i, m)
	}
	return out
}

// Without is c with the member id removed.
func (c Configuration) Without(id RaftID) Configuration {
	i, ok := c.find(id)
	if !ok {
		return c
	}
	out := c
	out.Members = slices.Delete(slices.Clone(c.Members), i, i+1)
	return out
}

// RemovedAt is the index of the entry that removed id, if that is still known.
func (c Configuration) RemovedAt(id RaftID) (Index, bool) {
	for _, r := range c.Removed {
		if r.RaftID == id {
			return r.Index, true
		}
	}
	return 0, false
}

// WithRemoval is c with the removal of id, at index at, remembered.
func (c Configuration) WithRemoval(id RaftID, at Index) Configuration {
	out := c
	out.Removed = append(slices.Clone(c.Removed), Removal{RaftID: id, Index: at})
	if more := len(out.Removed) - MaxRemoved; more > 0 {
		out.Removed = out.Removed[more:]
	}
	return out
}

func (c Configuration) find(id RaftID) (int, bool) {
	return slices.BinarySearchFunc(c.Members, id, func(m Member, id RaftID) int {
		switch {
		case m.RaftID < id:
			return -1
		case m.RaftID > id:
			return 1
		}
		return 0
	})
}

// ConfigContext travels in the context of every ConfChangeV2, so that the log
// alone yields every configuration.
type ConfigContext struct {
	Peer  PeerID   `cbor:"1,keyasint"`
	Role  Role     `cbor:"2,keyasint"` // 0 when the member is removed
	Addrs []string `cbor:"3,keyasint,omitempty"`

	// Nonce stands only where a log begins: in entry 1, the founding, and in a
	// recovery.
	Nonce []byte `cbor:"4,keyasint,omitempty"`
	// Target is how many voters the group wants from this entry on; 0: as before.
	Target int `cbor:"5,keyasint,omitempty"`
	// Recovers makes the entry a recovery: the log that it ends.
	Recovers LogID `cbor:"6,keyasint,omitzero"`
}

// FoundingNonce is the length of the nonce with which a log begins, in bytes.
const FoundingNonce = 32

var errConfig = errors.New("bad configuration")

func (c *ConfigContext) check() error {
	switch {
	case c.Role > RoleObserver:
		return fmt.Errorf("%w: %v", errConfig, c.Role)
	case len(c.Nonce) != 0 && len(c.Nonce) != FoundingNonce:
		return fmt.Errorf("%w: a nonce of %d bytes", errConfig, len(c.Nonce))
	case c.Target < 0 || c.Target > MaxVoters:
		return fmt.Errorf("%w: a target of %d voters, at most %d are allowed", errConfig, c.Target, MaxVoters)
	}
	return errors.Join(checkPeer(c.Peer), checkAddrs(c.Addrs))
}

func (c *Configuration) check() error {
	if len(c.Members) > MaxMembers || c.Target < 0 || c.Target > MaxVoters {
		return fmt.Errorf("%w: %d members, a target of %d voters", errConfig, len(c.Members), c.Target)
	}
	if err := errors.Join(checkIndex(c.Index), checkBefore(c.Before)); err != nil {
		return err
	}
	for i, m := range c.Members {
		if i > 0 && m.RaftID <= c.Members[i-1].RaftID {
			return fmt.Errorf("%w: members are not sorted by raft id", errConfig)
		}
		if m.RaftID == 0 || m.Role < RoleVoter || m.Role > RoleObserver {
			return fmt.Errorf("%w: member %v, %v", errConfig, m.RaftID, m.Role)
		}
		if err := errors.Join(checkPeer(m.Peer), checkAddrs(m.Addrs)); err != nil {
			return err
		}
	}
	return c.checkRemoved()
}

func (c *Configuration) checkRemoved() error {
	for i, r := range c.Removed {
		if _, member := c.Member(r.RaftID); member || r.RaftID == 0 {
			return fmt.Errorf("%w: %v was removed, and is a member", errConfig, r.RaftID)
		}
		if r.Index == 0 || r.Index > c.Index || i > 0 && r.Index <= c.Removed[i-1].Index {
			return fmt.Errorf("%w: a removal at index %d is out of order", errConfig, r.Index)
		}
	}
	return checkCount("removals", len(c.Removed), MaxRemoved)
}

// checkBefore checks recoveries: not too many, in the order of the log.
func checkBefore(before []Recovery) error {
	for i, r := range before {
		if r.Log.IsZero() || r.Index < 2 || i > 0 && r.Index <= before[i-1].Index {
			return fmt.Errorf("%w: recovery %d, at index %d", errConfig, i, r.Index)
		}
		if err := checkIndex(r.Index); err != nil {
			return err
		}
	}
	return checkCount("recoveries", len(before), MaxBefore)
}

// maxPeer is the most that a peer id may hold, in bytes.
const maxPeer = 128

func checkPeer(p PeerID) error {
	if len(p) == 0 {
		return errors.New("no peer id")
	}
	return checkText("peer id", string(p), maxPeer)
}

func checkAddrs(addrs []string) error {
	for _, a := range addrs {
		if err := checkText("address", a, MaxAddrBytes); err != nil {
			return err
		}
	}
	return checkCount("addresses", len(addrs), MaxAddrs)
}
