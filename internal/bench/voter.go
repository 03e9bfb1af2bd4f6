package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

// voteArgs says which group.
type voteArgs struct {
	Place   place
	Machine string
	Voters  int      // that the group is to have
	Peers   []string // of the group; none: found it
}

// vote makes the node take part in a group that comes into being as users' groups do, and returns its addresses.
func (m *member) vote(ctx context.Context, args voteArgs) ([]string, error) {
	m.place = args.Place
	cfg := args.Place.nodeConfig(args.Peers...)
	cfg.Logger = m.log
	var err error
	if m.node, err = logmesh.Open(ctx, cfg); err != nil {
		return nil, err
	}
	group := args.Place.groupConfig()
	group.Voters, group.Found = args.Voters, len(args.Peers) == 0
	return m.node.Addrs(), m.joinGroup(ctx, args.Machine, group)
}

// ready waits until the group has so many voters, and this one follows a leader.
func (m *member) ready(ctx context.Context, voters int) (none, error) {
	_, err := m.group.Wait(ctx, func(s logmesh.Status) bool {
		n := 0
		for _, x := range s.Members {
			if x.Role == codec.RoleVoter {
				n++
			}
		}
		return n >= voters && logmesh.Online(s)
	})
	return none{}, err
}

// loadArgs is work for several writers.
type loadArgs struct {
	Writers int
	Seconds float64
}

// load writes for a while, each writer with one command under way, and returns how
// long each write took, in seconds. The node's client session is open before.
func (m *member) load(ctx context.Context, args loadArgs) ([]float64, error) {
	value := appendRandom(nil, rand.NewPCG(1, 1), writeBytes)
	commands := make([][]byte, args.Writers)
	for w := range commands {
		var err error
		if commands[w], err = m.writes.command(fmt.Sprint("writer", w), value); err != nil {
			return nil, err
		}
	}
	end := time.Now().Add(time.Duration(args.Seconds * float64(time.Second)))
	took, errs := make([][]float64, args.Writers), make([]error, args.Writers)
	var all sync.WaitGroup
	for w, command := range commands {
		all.Go(func() { took[w], errs[w] = m.writeUntil(ctx, end, command) })
	}
	all.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}

// warm opens the node's client session.
func (m *member) warm(ctx context.Context, _ none) (none, error) {
	command, err := m.writes.command("warm", []byte("up"))
	if err == nil {
		_, err = m.group.Execute(ctx, command)
	}
	return none{}, err
}

func (m *member) writeUntil(ctx context.Context, end time.Time, command []byte) (took []float64, err error) {
	for time.Now().Before(end) {
		begun := time.Now()
		if _, err := m.group.Execute(ctx, command); err != nil {
			return took, err
		}
		took = append(took, time.Since(begun).Seconds())
	}
	return took, nil
}
