package actors

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// newSystem is an actor system whose own log goes to log instead of a console.
// Messages to actors that have ended are ordinary here (a late block, a late
// timer), so dead letters are not logged.
func newSystem(log *slog.Logger) *actor.ActorSystem {
	return actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet(log) }),
		actor.WithDeadLetterRequestLogging(false),
		actor.WithDeadLetterThrottleCount(0),
		actor.WithDeadLetterThrottleInterval(time.Millisecond), // a goroutine of the library lasts so long
	)
}

// quiet drops what the actor library says below the level of a warning.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(warningsOnly{log.Handler()})
}

// PanicError is a panic inside an actor other than a user's machine.
type PanicError struct {
	Actor string
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("panic in the %s actor: %v", e.Actor, e.Value)
}

// supervision is the strategy of every supervisor here: nothing restarts. A
// fetcher's panic ends the fetcher, any other ends the group.
type supervision struct {
	fail func(error)
	gone func(error) // instead of fail, for the fetchers
}

func (s supervision) HandleFailure(_ *actor.ActorSystem, sup actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	p, ok := reason.(*PanicError)
	if !ok {
		p = &PanicError{Value: reason}
	}
	p.Actor = actorName(child)
	sup.StopChildren(child)
	if s.gone != nil {
		s.gone(p)
		return
	}
	s.fail(p)
}

// witness panics with a *PanicError that says where, because a supervisor
// learns of a panic only when its stack is gone.
type witness struct{ actor.Actor }

func (w witness) Receive(ctx actor.Context) {
	defer func() {
		if v := recover(); v != nil {
			panic(&PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	w.Actor.Receive(ctx)
}

// actorName is the last part of an actor's path.
func actorName(pid *actor.PID) string {
	return pid.Id[strings.LastIndexByte(pid.Id, '/')+1:]
}
