package logmesh

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
)

// RecoverConfig names a group on a stopped node.
type RecoverConfig struct {
	// Data is the node's directory.
	Data string
	// Group is the group's name. d: "main".
	Group string
}

// Recovery is what a node holds of a group that lost its majority for good, and
// what the group becomes when it goes on from there.
type Recovery struct {
	Group  string
	Peer   codec.PeerID // this node
	RaftID codec.RaftID

	Log       codec.LogID    // the log that ends
	Last      codec.Cursor   // its newest entry here, committed or not
	Committed codec.Index    // as far as this node knows; what lies beyond is kept, too
	Members   []codec.Member // at Last; this node may be none of them
	Voters    int            // how many of them vote

	NewLog codec.LogID // of the group that goes on; zero: not recovered yet
	Index  codec.Index // of the recovery entry, with which NewLog begins
}

// Role is what this node was in the group; 0: it was no member.
func (r Recovery) Role() codec.Role {
	i := slices.IndexFunc(r.Members, func(m codec.Member) bool { return m.RaftID == r.RaftID })
	if i < 0 {
		return 0
	}
	return r.Members[i].Role
}

// PlanRecovery says from what Recover would go on, and changes nothing. It reads
// the whole log. Its errors are those of Recover.
func PlanRecovery(cfg RecoverConfig) (Recovery, error) {
	r, _, err := planRecovery(cfg)
	return r, err
}

// Recover makes the node in a directory the only member of its group, of which a
// majority of the voters is gone for good. The node must be stopped. Everything
// that the directory holds stays, also what was not known to be committed; what
// only the others held is lost. The group goes on as another log, with another
// log id: the lost members, should they come back, are told apart by it and
// refused, and so is every other group that was recovered from the same one.
//
// It fails, and changes nothing, if the directory has no such group, is in use or
// damaged, if the node had not joined yet, or if it is the only voter and needs no
// recovery. A crash leaves the old log or the new one.
func Recover(cfg RecoverConfig) (Recovery, error) {
	r, st, err := planRecovery(cfg)
	if err != nil {
		return r, err
	}
	l, err := ledger.Open(ledger.Options{
		Dir: groupDir(cfg.Data, r.Group), Group: st.Group, Peer: st.Peer, Fold: actors.Fold,
	})
	if err != nil {
		return r, cfg.explain(err)
	}
	end, err := l.End()
	var entries []codec.Entry
	var config codec.Configuration
	if err == nil {
		entries, config, err = consensus.Recovery(survivor(st, end, true))
	}
	if err == nil {
		err = l.Recover(entries)
	}
	if err = errors.Join(err, l.Close()); err != nil {
		return r, cfg.explain(err)
	}
	r.NewLog, r.Index = config.Log, config.Index
	return r, nil
}

func planRecovery(cfg RecoverConfig) (r Recovery, st ledger.Stats, err error) {
	if cfg.Group == "" {
		cfg.Group = DefaultGroup
	}
	r.Group = cfg.Group
	dir := groupDir(cfg.Data, cfg.Group)
	if _, err := os.Stat(dir); err != nil {
		return r, st, cfg.noGroup()
	}
	if err := checkWhole(dir); err != nil {
		return r, st, cfg.explain(err)
	}
	st, err = ledger.Stat(vfs.Default, dir)
	if err != nil {
		return r, st, cfg.explain(err)
	}
	if st.Removed != 0 {
		return r, st, fmt.Errorf("take the directory of a member: %w", &RemovedError{Index: st.Removed, Dir: dir})
	}
	end, err := ledger.ReadEnd(vfs.Default, dir, actors.Fold)
	if err == nil {
		_, _, err = consensus.Recovery(survivor(st, end, false))
	}
	if err != nil {
		return r, st, cfg.explain(err)
	}
	r.Peer, r.RaftID, r.Log = st.Peer, st.RaftID, end.Config.Log
	r.Last, r.Committed, r.Members, r.Voters = end.Last, end.Hard.Commit, end.Config.Members, end.Config.Voters()
	return r, st, nil
}

func survivor(st ledger.Stats, end ledger.End, fresh bool) consensus.Survivor {
	s := consensus.Survivor{Config: end.Config, Last: end.Last, Term: end.Hard.Term, ID: st.RaftID, Peer: st.Peer}
	if fresh {
		fillRandom(s.Nonce[:])
	}
	return s
}

// checkWhole reads all of a ledger: after a recovery nobody else has it.
func checkWhole(dir string) error {
	var first error
	err := ledger.Verify(vfs.Default, dir, actors.Fold, func(d *ledger.DamageError) {
		if first == nil {
			first = d
		}
	})
	return errors.Join(err, first)
}

// noGroup says which groups there are instead.
func (cfg RecoverConfig) noGroup() error {
	entries, err := os.ReadDir(filepath.Join(cfg.Data, groupsDir))
	if err != nil {
		return fmt.Errorf("%s is no node's directory: %w", cfg.Data, err)
	}
	var names []string
	for _, e := range entries {
		if name, err := url.PathUnescape(e.Name()); err == nil && e.IsDir() {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%s holds no group", cfg.Data)
	}
	return fmt.Errorf("%s does not hold group %q; it holds %s", cfg.Data, cfg.Group, strings.Join(names, ", "))
}

func (cfg RecoverConfig) explain(err error) error {
	var damage *ledger.DamageError
	switch {
	case errors.Is(err, ledger.ErrInUse):
		return fmt.Errorf("the node in %s is running: stop it first: %w", cfg.Data, err)
	case errors.As(err, &damage):
		return fmt.Errorf("a damaged log is not recovered from; take another member's directory, or a copy: %w", err)
	case errors.Is(err, consensus.ErrMajority):
		return fmt.Errorf("nothing to recover: %w", consensus.ErrMajority)
	case errors.Is(err, ledger.ErrNotAdopted):
		return fmt.Errorf("take the directory of a member: %w", ledger.ErrNotAdopted)
	}
	return fmt.Errorf("recover the group in %s: %w", cfg.Data, err)
}
