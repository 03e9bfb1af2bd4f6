package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh"
)

// Two nodes on one machine need no flag for the API: the second takes a free
// port and says so. An address that was asked for is not replaced.
func TestAPIPort(t *testing.T) {
	taken := "127.0.0.1:" + takePort(t).port
	var out strings.Builder
	a := &app{err: &out}
	l, err := a.listenAPI(plan{http: taken, httpAny: true})
	require.NoError(t, err)
	defer l.Close()
	require.Contains(t, out.String(), taken+" is taken; the API is at http://"+l.Addr().String())
	_, err = a.listenAPI(plan{http: taken})
	require.ErrorContains(t, err, "is taken")
}

func TestAPIWarnsBeyondLoopback(t *testing.T) {
	var out strings.Builder
	l, err := (&app{err: &out}).listenAPI(plan{http: "0.0.0.0:0"})
	require.NoError(t, err)
	defer l.Close()
	require.Contains(t, out.String(), "can be reached from other machines")
}

func TestPlanOfTickets(t *testing.T) {
	const peer = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWAfBVdmphtMFPVq3GEpcg3QMiRbrwD9mpd6D6fc4CswRw"
	ticket := logmesh.Ticket{Network: "n", Group: "g", Peers: []string{peer}, Key: make([]byte, logmesh.GroupKeyBytes)}
	a := &app{data: t.TempDir()}
	p, err := a.plan(runFlags{role: "voter", logLevel: "info", join: []string{ticket.String(), peer}})
	require.NoError(t, err)
	require.Equal(t, "n", p.node.Network)
	require.Equal(t, "g", p.group.Name)
	require.Equal(t, []string{peer, peer}, p.node.Peers)
	require.Equal(t, ticket.Key, p.group.Key)
	require.Empty(t, p.keyFile)
	require.NoError(t, p.loadKey())

	// A key file goes before a ticket's key.
	p, err = a.plan(runFlags{role: "observer", logLevel: "info", join: []string{ticket.String()}, groupKey: "file"})
	require.NoError(t, err)
	require.Equal(t, "file", p.keyFile)
	require.ErrorContains(t, p.loadKey(), "there is no file")

	p, err = a.plan(runFlags{role: "voter", logLevel: "info", join: []string{peer}})
	require.NoError(t, err)
	require.Equal(t, logmesh.DefaultNetwork, p.node.Network)
	require.Equal(t, logmesh.DefaultGroup, p.group.Name)
}

// The line that joins never names the directory of the node that prints it.
func TestNextTo(t *testing.T) {
	for dir, want := range map[string]string{
		"/tmp/node1": "node2", "/tmp/node2": "node3", "n9": "n10", "/srv/logmesh": "node2", "/srv/2026": "node2",
		"/srv/n99999999999999999999": "node2",
	} {
		require.Equal(t, want, nextTo(dir), dir)
	}
}
