package logmesh

import (
	"fmt"
	"strings"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// NoQuorum says that fewer than a majority of the voters are reachable from this
// node, and that nobody leads who might reach more. Local reads go on; writes and
// strong reads wait, and fail when their context ends. If the missing never come
// back, see Recover.
type NoQuorum struct {
	Reachable int            `json:"reachable"` // voters connected to this node, itself included if it is one
	Voters    int            `json:"voters"`    // of the group
	Missing   []codec.PeerID `json:"missing"`   // voters that are not connected
	Since     time.Time      `json:"since"`     // when the majority was lost from sight
}

// String is for one line of a screen.
func (q NoQuorum) String() string {
	return fmt.Sprintf("no quorum: %d of %d voters reachable (missing: %s; since %s)",
		q.Reachable, q.Voters, q.names(codec.PeerID.Short), q.Since.Format(time.DateTime))
}

func (q NoQuorum) names(name func(codec.PeerID) string) string {
	names := make([]string, len(q.Missing))
	for i, p := range q.Missing {
		names[i] = name(p)
	}
	return strings.Join(names, ", ")
}

// NoQuorumError is why there is no leader, or why an outcome is unknown: it comes
// wrapped in ErrNoLeader or *UnknownOutcomeError.
type NoQuorumError struct{ NoQuorum }

func (e *NoQuorumError) Error() string {
	return fmt.Sprintf("a majority of the voters is not reachable: %d of %d (missing: %s; since %s)",
		e.Reachable, e.Voters, e.names(func(p codec.PeerID) string { return string(p) }), e.Since.Format(time.DateTime))
}

func (g *Group) noQuorum() *NoQuorum {
	q := g.actors.NoQuorum()
	if q == nil {
		return nil
	}
	return &NoQuorum{Reachable: q.Reachable, Voters: q.Voters, Missing: q.Missing, Since: q.Since}
}

// lacking adds to err that there is no quorum, if that is so.
func (g *Group) lacking(err error) error {
	if q := g.noQuorum(); q != nil {
		return fmt.Errorf("%w: %w", &NoQuorumError{*q}, err)
	}
	return err
}
