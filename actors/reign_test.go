package actors

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
)

// P2: what was asked of a leader that does not answer is given up when another
// leads, and asked of that one.
func TestSilentLeaderIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &fakeNetwork{call: func(ctx context.Context, to codec.PeerID, _ codec.Message) (codec.Answer, error) {
			if to == "paused" {
				<-ctx.Done()
				return codec.Answer{}, ctx.Err()
			}
			return codec.Answer{Status: codec.CallOK}, nil
		}}
		g := New(Config{Self: self, Logger: discard()})
		defer g.cancel()
		g.network, g.raft = net, &raftActor{}
		g.started.Store(true)
		g.raft.view.Store(&consensusView{leader: "paused"})
		began := time.Now()
		time.AfterFunc(time.Second, func() {
			g.raft.view.Store(&consensusView{leader: "other"})
			g.reign.over()
		})
		ctx, cancel := context.WithTimeout(t.Context(), proposeTimeout)
		defer cancel()
		_, err := g.propose(ctx, &codec.Propose{})
		require.Error(t, err, "whether the paused one has it is not known")
		require.NoError(t, ctx.Err())
		require.Equal(t, time.Second, time.Since(began))
		answer, err := g.propose(ctx, &codec.Propose{})
		require.NoError(t, err)
		require.Equal(t, codec.CallOK, answer.Status)
	})
}
