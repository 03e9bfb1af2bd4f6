package actors

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/replay"
)

// stopsWith waits until the group has stopped by itself.
func (x *lone) stopsWith(target any) {
	x.t.Helper()
	select {
	case <-x.Done():
	case <-time.After(time.Minute):
		x.t.Fatal("the group goes on")
	}
	require.ErrorAs(x.t, x.Err(), target)
	require.Contains(x.t, x.logs.String(), "the group stops on this node")
	require.Contains(x.t, x.logs.String(), "stack=")
}

// A panic in a user's machine stops the group, and names the index.
func TestMachinePanics(t *testing.T) {
	for poison, next := range map[string]func(*lone){
		"apply":  func(*lone) {},
		"digest": func(*lone) {},
		"query":  func(x *lone) { _, _, _ = x.Query(x.context(), []byte("q"), 0) },
	} {
		t.Run(poison, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newLone(t, true, &fakeNetwork{})
				last := x.execute("fine").Index
				synctest.Wait()
				x.machine.poison = poison
				call, err := x.Begin([]byte("panic"))
				require.NoError(t, err)
				if poison == "query" {
					_, _, err = x.Await(x.context(), call)
					require.NoError(t, err)
				}
				next(x)
				var p *replay.PanicError
				x.stopsWith(&p)
				require.Equal(t, last+1, p.Index)
				require.Equal(t, poison, p.During)
				require.Equal(t, "poisoned", p.Value)
				require.Contains(t, string(p.Stack), "sumMachine")
				_, _, err = x.Query(x.context(), nil, 0)
				require.ErrorIs(t, err, ErrStopped)
			})
		})
	}
}

// A panic in any actor but a fetcher stops the group on this node, says in which
// and where, and restarts nothing.
func TestActorPanics(t *testing.T) {
	for name, c := range map[string]struct {
		to    func(*lone) *actor.PID
		m     any
		where string
	}{
		"consensus":   {func(x *lone) *actor.PID { return x.consensus }, tick{}, "raftActor"},
		"coordinator": {func(x *lone) *actor.PID { return x.coordinator }, offered{}, "coordinator"},
		"storer":      {func(x *lone) *actor.PID { return x.storer }, release{}, "storer"},
		"provider":    {func(x *lone) *actor.PID { return x.provider }, sessionFrame{}, "provider"},
		"replay":      {func(x *lone) *actor.PID { return x.replay }, waitApplied{}, "replayer"},
	} {
		t.Run(name, func(t *testing.T) {
			silence(t, func() {
				synctest.Test(t, func(t *testing.T) {
					x := newLone(t, true, &fakeNetwork{})
					x.execute("fine")
					begun := time.Now()
					x.system.Root.Send(c.to(x), c.m)
					var p *PanicError
					x.stopsWith(&p)
					require.Equal(t, name, p.Actor)
					require.Contains(t, string(p.Stack), c.where)
					require.Less(t, time.Since(begun), time.Second)
					for _, pid := range []*actor.PID{x.consensus, x.coordinator, x.storer, x.provider, x.replay, x.super} {
						_, alive := x.system.ProcessRegistry.GetLocal(pid.Id)
						require.False(t, alive, "%s goes on", pid.Id)
					}
					require.Equal(t, 1, x.machine.commands)
				})
			})
		})
	}
}

// The actor library writes nothing to the console, whatever happens; its
// warnings go to the given logger, and nothing below.
func TestLibraryIsQuiet(t *testing.T) {
	silence(t, func() {
		synctest.Test(t, func(t *testing.T) {
			var logs logLines
			s := newSystem(logs.logger())
			pid := spawn(s, &inbox{})
			stopActor(t, s, pid)
			for range 10 {
				s.Root.Send(pid, "to nobody")
			}
			s.Root.RequestFuture(pid, "to nobody", time.Second)
			require.Empty(t, logs.String())
			s.Logger().Info("chatter")
			s.Logger().Warn("trouble", "with", "something")
			require.NotContains(t, logs.String(), "chatter")
			require.Contains(t, logs.String(), "level=WARN msg=trouble with=something")
			s.Shutdown()
			time.Sleep(2 * time.Second)
		})
	})
}

// A ledger that fails stops the group.
func TestFailedWriteStopsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, true, &fakeNetwork{})
		x.execute("fine")
		require.NoError(t, x.cfg.Ledger.Close())
		call, err := x.Begin([]byte("lost"))
		if err == nil {
			var o Outcome
			o, _, err = x.Await(x.context(), call)
			require.NoError(t, err)
			err = o.Err
		}
		require.ErrorIs(t, err, ErrStopped) // a tick may have met the failure first
		<-x.Done()
		require.Error(t, x.Err())
	})
}

// A joiner takes over the log id that a peer of its own list states, and no
// other's.
func TestLogIDIsLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLone(t, false, &fakeNetwork{})
		x.Bonded("stranger", codec.LogID{1}, false)
		require.True(t, x.View().Log.IsZero())
		x.Bonded("listed", codec.LogID{}, true)
		require.True(t, x.View().Log.IsZero())
		x.Bonded("listed", codec.LogID{2}, true)
		require.Equal(t, codec.LogID{2}, x.View().Log)
		x.Bonded("listed too", codec.LogID{3}, true)
		require.Equal(t, codec.LogID{2}, x.View().Log)
		require.NoError(t, x.Err())
	})
}
