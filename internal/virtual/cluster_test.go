package virtual

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/seam"
	"github.com/logmesh/logmesh/p2p"
	"github.com/logmesh/logmesh/p2p/p2ptest"
)

var (
	groupKey = make([]byte, p2p.GroupKeySize)
	groupID  = codec.GroupIDOf(codec.NetworkIDOf(logmesh.DefaultNetwork), logmesh.DefaultGroup)
)

// member is a node at a place of the network.
type member struct {
	place int
	link  p2ptest.Link
	seed  []byte
	id    codec.PeerID
	addr  string // without /p2p
	salt  [16]byte
	disk  vfs.FS

	faults  p2ptest.Faults
	role    codec.Role // what it asks to be
	machine *recorder
	node    *logmesh.Node
	group   *logmesh.Group
}

func newMember(t testing.TB, place int, link p2ptest.Link) *member {
	m := &member{place: place, link: link, seed: make([]byte, p2p.SeedSize), addr: p2ptest.Listen(place), salt: saltOf(place)}
	m.seed[0], m.seed[1] = byte(place), 1
	var err error
	m.id, err = p2p.PeerIDOf(m.seed)
	require.NoError(t, err)
	m.disk, m.machine, m.role = vfs.NewMem(), &recorder{}, codec.RoleObserver
	return m
}

func (m *member) dialable() string { return m.addr + "/p2p/" + string(m.id) }

// start opens the member's node on the network and joins the group.
func (m *member) start(t testing.TB, n *p2ptest.Network, peers []*member) {
	var boot []string
	for _, p := range peers {
		if p != m {
			boot = append(boot, p.dialable())
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx = seam.With(ctx, seam.Layers{
		Net: func(cfg *p2p.Config) {
			cfg.Key = m.seed
			cfg.Over = m.faults.Over
			n.Connect(cfg, m.place, m.link)
		},
		Disk: func(o *ledger.Options) {
			o.Memory, o.FS, o.Dir, o.Salt = false, m.disk, ledgerDir, m.salt
		},
	})
	var err error
	m.node, err = logmesh.Open(ctx, logmesh.Config{Peers: boot, Logger: logger})
	require.NoError(t, err)
	m.group, err = m.node.Join(ctx, logmesh.GroupConfig{Key: groupKey, Role: m.role}, m.machine)
	require.NoError(t, err)
}

func (m *member) stop(t testing.TB) {
	if m.node != nil {
		require.NoError(t, m.node.Close())
		m.node, m.group = nil, nil
	}
}

var logger = slog.New(slog.DiscardHandler)

// wait waits in virtual time until a condition holds.
func (m *member) wait(t testing.TB, patience time.Duration, until logmesh.Condition) logmesh.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := m.group.Wait(ctx, until)
	require.NoError(t, err)
	return s
}
