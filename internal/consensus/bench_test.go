package consensus

import (
	"testing"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// BenchmarkCommit is the cost of consensus alone, without disk or network: one
// command of 128 bytes, proposed in batches of 64, committed and given to three
// members.
func BenchmarkCommit(b *testing.B) {
	n := newNetwork(b)
	n.found(1, 3)
	n.join(2, codec.RoleStandby)
	n.join(3, codec.RoleStandby)
	n.until("three voters", func() bool { return n.leader() != nil && n.leader().core.members.Voters() == 3 })
	for _, id := range n.ids() {
		n.nodes[id].log.never = true
	}
	commands := make([][]byte, 64)
	for i := range commands {
		commands[i] = make([]byte, 128)
	}
	l := n.leader()
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += len(commands) {
		if _, err := l.core.Propose(commands); err != nil {
			b.Fatal(err)
		}
		n.pump(l)
		n.settle()
	}
	b.ReportMetric(float64(b.N)/max(b.Elapsed(), time.Nanosecond).Seconds(), "commands/s")
}
