package testnet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

// changeMembers adds a node to the group; if that was done, it removes one, so
// that in the end all are others than at first.
func (n *nemesis) changeMembers() {
	switch {
	case !n.settle():
	case len(n.mesh.nodes) == n.size:
		n.addMember()
	default:
		n.removeMember()
	}
}

func (n *nemesis) addMember() {
	m := n.mesh
	n.added++
	v := m.newNode(fmt.Sprint("new", n.added))
	m.did("add", v)
	v.start("--join", m.nodes[0].ready.Ticket)
	v.until("is a member", online)
	m.nodes = append(m.nodes, v)
	n.clients.through(slices.Clone(m.nodes))
	n.watch.add(v)
	n.count[additions]++
}

// removeMember removes a node, the leader as well as any other, which must hear
// of it even if it was cut off at the time.
func (n *nemesis) removeMember() {
	m := n.mesh
	victim := n.some(1)[0]
	if n.disk != nil && victim == n.disk.node {
		return // it is needed
	}
	others := m.others(victim)
	id := victim.until("is a member", online).RaftID
	cut := n.rng.IntN(3) == 0
	if cut {
		m.cut([]*node{victim}, others)
	}
	m.did("remove", victim)
	eventually(m.t, func() bool {
		via := others[n.rng.IntN(len(others))]
		st, ok := via.status()
		if ok && !slices.ContainsFunc(st.Members, func(s logmesh.MemberStatus) bool { return s.RaftID == id }) {
			return true
		}
		via.remove(id)
		return false
	}, "%s is removed", victim.name())
	m.heal()
	eventually(m.t, func() bool {
		st, ok := victim.status()
		return !victim.process.running() || ok && (st.Phase == logmesh.PhaseRemoved || st.Phase == logmesh.PhaseStopped)
	}, "%s hears that it was removed", victim.name())
	victim.process.kill()
	m.nodes = others
	n.clients.through(slices.Clone(others))
	n.count[removals]++
	if cut {
		n.count[cutRemovals]++
	}
}

// remove asks the node to remove a member; whether it did is seen in the status.
func (n *node) remove(id codec.RaftID) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = n.api().Remove(ctx, id)
}
