// Package logmesh replicates state machines over libp2p.
//
// A Node is a process of a peer-to-peer network. It Joins a Group with a group
// key and a state machine (package machine); from then on all members of the
// group hold the same log of commands and, because each replays it into its own
// machine, the same state. A node that comes late, or comes back, catches up
// from all members at once.
//
//	n, err := logmesh.Open(ctx, logmesh.Config{Data: dir, Peers: peers})
//	g, err := n.Join(ctx, logmesh.GroupConfig{Key: key}, kv.New())
//	r, err := g.Execute(ctx, command)
//	a, err := g.Query(ctx, query, logmesh.Strong)
//
// One node founds a group (GroupConfig.Found); everybody else finds it through
// the multiaddrs or tickets of Config.Peers. Machines over Go types are joined
// with the function Join, which gives a Client that speaks those types.
//
// A command is acknowledged once it is on the disks of a majority of the voters
// and applied on the member that was asked. It is applied exactly once, also
// when leaders change. What may still happen after an error is told apart from
// what has not and never will: see Group.Execute.
package logmesh
