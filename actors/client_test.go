package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/replay"
)

// fakeLeader appends what is proposed to a log and replays it, as a group would.
type fakeLeader struct {
	mu      sync.Mutex
	core    *replay.Core
	machine *sumMachine
	client  *client
	next    codec.Index
	held    []codec.Entry // accepted, not replayed yet
	hold    bool
	calls   [][]codec.Command
	answer  func(n int, commands []codec.Command) (codec.Answer, error) // nil: accept all

	unsendable error // of a Propose that no stream would carry
}

func (l *fakeLeader) propose(_ context.Context, m *codec.Propose) (codec.Answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := codec.Encode(m); err != nil && l.unsendable == nil {
		l.unsendable = err
	}
	var commands []codec.Command
	for _, data := range m.Commands {
		c, err := codec.DecodeCommand(data)
		if err != nil {
			return codec.Answer{}, err
		}
		commands = append(commands, c)
	}
	l.calls = append(l.calls, commands)
	a, err := codec.Answer{Status: codec.CallOK, Index: codec.Index(len(m.Commands))}, error(nil)
	if l.answer != nil {
		a, err = l.answer(len(l.calls), commands)
	}
	if a.Status == codec.CallOK {
		for _, data := range m.Commands[:a.Index] {
			l.append(data)
		}
	}
	return a, err
}

// append commits an entry; mu is held.
func (l *fakeLeader) append(data []byte) {
	l.next++
	l.held = append(l.held, codec.Entry{Index: l.next, Term: 1, Kind: codec.KindCommand, Data: data})
	if !l.hold {
		l.replay()
	}
}

func (l *fakeLeader) replay() {
	if err := l.core.Apply(l.held, l.client.deliver); err != nil {
		panic(err)
	}
	l.held = nil
}

func (l *fakeLeader) with(f func(l *fakeLeader)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// newLeader is a fake leader with a client that runs until the test's end.
func newLeader(t *testing.T) *fakeLeader {
	t.Helper()
	l := &fakeLeader{machine: &sumMachine{}}
	l.core = replay.New(l.machine)
	nonce := byte(0)
	l.client = newClient(l.propose, SystemClock{}, func() [codec.OpenNonce]byte {
		nonce++
		return [codec.OpenNonce]byte{nonce}
	}, discard())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.client.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

// begin starts commands with the given names.
func (l *fakeLeader) begin(t *testing.T, names ...string) (calls []*Call) {
	t.Helper()
	for _, name := range names {
		c, err := l.client.start([]byte(name))
		require.NoError(t, err)
		calls = append(calls, c)
	}
	return calls
}

// requireDone waits for outcomes: the machine's echo.
func requireDone(t *testing.T, calls []*Call, names ...string) {
	t.Helper()
	require.Len(t, calls, len(names))
	for i, c := range calls {
		select {
		case o := <-c.done:
			require.NoError(t, o.Err)
			require.False(t, o.Rejected)
			require.Equal(t, names[i], string(o.Data))
			require.NotZero(t, o.Index)
		case <-time.After(time.Minute):
			t.Fatalf("no outcome of %q", names[i])
		}
	}
}

func TestClientOpensAndExecutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "a", "b"), "a", "b")
		requireDone(t, l.begin(t, "c"), "c")
		require.Equal(t, 3, l.machine.commands)
		require.True(t, l.calls[0][0].Opens())
		last := l.calls[len(l.calls)-1][0]
		require.Equal(t, codec.Command{Session: 1, Seq: 3, Low: 3, Payload: []byte("c")}, last)
	})
}

// However the leader answers or does not, each command is applied once.
func TestClientExactlyOnce(t *testing.T) {
	lost := errors.New("no answer")
	for name, answer := range map[string]func(n int, commands []codec.Command) (codec.Answer, error){
		"not accepted at first": func(n int, commands []codec.Command) (codec.Answer, error) {
			if n%3 != 0 {
				return codec.Answer{Status: codec.CallNotLeader}, nil
			}
			return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(commands))}, nil
		},
		"accepted, the answer is lost": func(n int, commands []codec.Command) (codec.Answer, error) {
			if n%2 == 1 {
				return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(commands))}, lost
			}
			return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(commands))}, nil
		},
		"accepted in part": func(_ int, commands []codec.Command) (codec.Answer, error) {
			return codec.Answer{Status: codec.CallOK, Index: codec.Index((len(commands) + 1) / 2)}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeader(t)
				l.answer = answer
				var names []string
				for i := range 20 {
					names = append(names, fmt.Sprint("c", i))
				}
				requireDone(t, l.begin(t, names...), names...)
				time.Sleep(2 * repeatAfter)
				require.Equal(t, 20, l.machine.commands)
			})
		})
	}
}

// What a leader accepted and lost is proposed again: after a change of leader at
// once, else after a while. Both copies may commit; one is applied.
func TestClientRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		l.with(func(l *fakeLeader) { l.hold = true })
		calls := l.begin(t, "a", "b")
		time.Sleep(10 * time.Millisecond)
		l.with(func(l *fakeLeader) { require.Len(t, l.held, 2) })
		l.client.repropose()
		time.Sleep(10 * time.Millisecond)
		l.with(func(l *fakeLeader) { require.Len(t, l.held, 4) })
		time.Sleep(repeatAfter - 30*time.Millisecond)
		l.with(func(l *fakeLeader) { require.Len(t, l.held, 4, "not before its time") })
		time.Sleep(50*time.Millisecond + pollEvery)
		l.with(func(l *fakeLeader) {
			require.Len(t, l.held, 6)
			l.hold = false
			l.replay()
		})
		requireDone(t, calls, "a", "b")
		require.Equal(t, 3, l.machine.commands)
	})
}

// A client that lost its session's opening asks again with the same nonce, and
// uses one session only.
func TestClientOpensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		l.hold = true
		calls := l.begin(t, "a")
		time.Sleep(repeatAfter + 2*pollEvery)
		l.with(func(l *fakeLeader) {
			require.Len(t, l.held, 2)
			require.Equal(t, l.held[0].Data, l.held[1].Data)
			l.hold = false
			l.replay()
		})
		requireDone(t, calls, "a")
		require.Equal(t, uint64(1), l.client.session.Load())
	})
}

// When the group has forgotten the session, what may have been applied is
// answered so, and what no leader took goes into a new session.
func TestClientSessionExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		l.with(func(l *fakeLeader) { l.hold = true })
		taken := l.begin(t, "taken")
		time.Sleep(10 * time.Millisecond)
		l.with(func(l *fakeLeader) {
			l.answer = func(_ int, commands []codec.Command) (codec.Answer, error) {
				if commands[0].Session == 1 {
					return codec.Answer{Status: codec.CallNotLeader}, nil
				}
				return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(commands))}, nil
			}
		})
		waits := l.begin(t, "waits")
		time.Sleep(noLeaderPause + noLeaderPause/2) // between two tries
		l.with(func(l *fakeLeader) {
			mine := l.held
			l.held = nil
			for i := range replay.MaxSessions {
				l.append(codec.AppendCommand(nil, codec.Command{Payload: fmt.Appendf(nil, "%016d", i)}))
			}
			for i := range mine {
				l.append(mine[i].Data)
			}
			for i := range l.held { // as the log would have it
				l.held[i].Index = codec.Index(int(l.core.Applied()) + 1 + i)
			}
			l.next = l.held[len(l.held)-1].Index
			l.hold = false
			l.replay()
		})
		o := <-taken[0].done
		require.ErrorIs(t, o.Err, ErrExpired)
		requireDone(t, waits, "waits")
		require.Equal(t, 2, l.machine.commands)
	})
}

// No more than a window of commands is unanswered.
func TestClientWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		l.with(func(l *fakeLeader) { l.hold = true })
		var names []string
		for i := range 2 * sessionWindow {
			names = append(names, fmt.Sprint(i))
		}
		calls := l.begin(t, names...)
		time.Sleep(100 * time.Millisecond)
		l.with(func(l *fakeLeader) {
			require.Len(t, l.held, sessionWindow)
			for _, c := range l.calls {
				require.LessOrEqual(t, len(c), codec.MaxProposals)
			}
			l.hold = false
			l.replay()
		})
		requireDone(t, calls, names...)
		require.Equal(t, 2*sessionWindow+1, l.machine.commands)
	})
}

// A Propose can always be encoded: it holds at most
// codec.MaxProposal bytes, but always one command.
func TestClientBatchBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		calls := l.begin(t, string(make([]byte, codec.MaxCommand)), string(make([]byte, codec.MaxProposal/2)), string(make([]byte, codec.MaxProposal/2)), "last")
		for _, c := range calls {
			require.NoError(t, (<-c.done).Err)
		}
		require.NoError(t, l.unsendable)
	})
}

// A command that the leader refuses ends with the reason, and those after it go on.
func TestClientRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		l.answer = func(_ int, commands []codec.Command) (codec.Answer, error) {
			if string(commands[0].Payload) == "bad" {
				return codec.Answer{Status: codec.CallRefused, Reason: "no"}, nil
			}
			return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(commands))}, nil
		}
		var refused *RefusedError
		require.ErrorAs(t, (<-l.begin(t, "bad")[0].done).Err, &refused)
		require.Equal(t, "no", refused.Reason)
		require.False(t, refused.Maybe)
		requireDone(t, l.begin(t, "good"), "good")
	})
}

// abandon says whether the command may have been, or may yet be, applied.
func TestClientAbandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		l.answer = func(int, []codec.Command) (codec.Answer, error) {
			return codec.Answer{Status: codec.CallNotLeader}, nil
		}
		call := l.begin(t, "no session")[0]
		time.Sleep(time.Second)
		require.False(t, l.client.abandon(call))
		l.with(func(l *fakeLeader) { l.answer = nil })
		requireDone(t, l.begin(t, "first"), "first")

		l.with(func(l *fakeLeader) {
			l.answer = func(int, []codec.Command) (codec.Answer, error) {
				return codec.Answer{Status: codec.CallNotLeader}, nil
			}
		})
		call = l.begin(t, "never accepted")[0]
		time.Sleep(noLeaderPause + noLeaderPause/2)
		require.False(t, l.client.abandon(call))

		for name, answer := range map[string]codec.Answer{
			"accepted":       {Status: codec.CallOK, Index: 1},
			"late":           {Status: codec.CallUnavailable},
			"without answer": {},
		} {
			l.with(func(l *fakeLeader) {
				l.hold = true
				l.answer = func(int, []codec.Command) (codec.Answer, error) {
					if answer.Status == 0 {
						return answer, context.DeadlineExceeded
					}
					return answer, nil
				}
			})
			call = l.begin(t, name)[0]
			time.Sleep(noLeaderPause + noLeaderPause/2)
			require.True(t, l.client.abandon(call), name)
		}
	})
}

// A command that is on its way to the leader while it is abandoned may be
// applied.
func TestClientAbandonOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		proceed := make(chan struct{})
		l.with(func(l *fakeLeader) {
			l.answer = func(_ int, commands []codec.Command) (codec.Answer, error) {
				<-proceed
				return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(commands))}, nil
			}
		})
		call := l.begin(t, "on its way")[0]
		time.Sleep(pollEvery)
		synctest.Wait()
		require.True(t, l.client.abandon(call))
		close(proceed)
		synctest.Wait()
		l.with(func(l *fakeLeader) { require.Equal(t, 2, l.machine.commands) })
		requireDone(t, l.begin(t, "next"), "next")
	})
}

// At the end everybody gets an answer, and nothing begins any more.
func TestClientClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		l.with(func(l *fakeLeader) { l.hold = true })
		var names []string
		for i := range sessionWindow + 10 {
			names = append(names, fmt.Sprint(i))
		}
		calls := l.begin(t, names...)
		time.Sleep(pollEvery)
		l.client.close()
		for _, c := range calls {
			require.ErrorIs(t, (<-c.done).Err, ErrStopped)
		}
		_, err := l.client.start([]byte("late"))
		require.ErrorIs(t, err, ErrStopped)
		l.with(func(l *fakeLeader) {
			l.hold = false
			l.replay()
		})
	})
}

// A command that a leader took while another was elected is proposed again at
// once: it may be lost with that leader.
func TestClientRepeatsWhatAnOldLeaderTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		l.with(func(l *fakeLeader) {
			l.answer = func(n int, commands []codec.Command) (codec.Answer, error) {
				if n == 3 {
					l.client.repropose() // while this one answers
					l.hold = true
				}
				return codec.Answer{Status: codec.CallOK, Index: codec.Index(len(commands))}, nil
			}
		})
		calls := l.begin(t, "taken")
		time.Sleep(repeatAfter / 2)
		l.with(func(l *fakeLeader) {
			require.Len(t, l.held, 2)
			l.replay()
		})
		requireDone(t, calls, "taken")
		require.Equal(t, 2, l.machine.commands)
	})
}

// Who stops waiting for a command whose session is gone takes nothing from the
// command that has its number in the next session.
func TestClientAbandonAfterTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		l.with(func(l *fakeLeader) { l.hold = true })
		old := l.begin(t, "a")[0]
		time.Sleep(10 * time.Millisecond)
		l.client.deliver(replay.Result{Session: 1, Seq: 2, Expired: true})
		l.with(func(l *fakeLeader) {
			l.held, l.next, l.hold = nil, l.core.Applied(), false
		})
		requireDone(t, l.begin(t, "b"), "b")
		l.with(func(l *fakeLeader) { l.hold = true })
		second := l.begin(t, "c")
		time.Sleep(10 * time.Millisecond)
		l.client.mu.Lock()
		require.Equal(t, second[0].seq, old.seq)
		l.client.mu.Unlock()
		l.client.abandon(old)
		l.with(func(l *fakeLeader) {
			l.hold = false
			l.replay()
		})
		requireDone(t, second, "c")
	})
}

// At the end each is told whether its command may be applied.
func TestClientCloseSaysWhatMayHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		requireDone(t, l.begin(t, "first"), "first")
		status := codec.CallOK
		l.with(func(l *fakeLeader) {
			l.hold = true
			l.answer = func(_ int, commands []codec.Command) (codec.Answer, error) {
				return codec.Answer{Status: status, Index: codec.Index(len(commands))}, nil
			}
		})
		taken := l.begin(t, "taken")[0]
		time.Sleep(pollEvery)
		l.with(func(*fakeLeader) { status = codec.CallNotLeader })
		never := l.begin(t, "never taken")[0]
		named, err := l.client.startIn(Slot{Session: 1, Seq: 9, Low: 1}, []byte("x"))
		require.NoError(t, err)
		time.Sleep(noLeaderPause + noLeaderPause/2)
		l.client.close()
		for call, maybe := range map[*Call]bool{taken: true, never: false, named: false} {
			o := <-call.done
			require.ErrorIs(t, o.Err, ErrStopped)
			require.Equal(t, maybe, o.Maybe, "%s", call.command)
		}
		_, err = l.client.startIn(Slot{Session: 1, Seq: 9, Low: 1}, []byte("x"))
		require.ErrorIs(t, err, ErrStopped)
	})
}

// The same slot may be asked for by several, and left by some.
func TestClientSlotIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeader(t)
		open, err := l.client.startOpen()
		require.NoError(t, err)
		s := codec.SessionID((<-open.done).Index)
		l.with(func(l *fakeLeader) { l.hold = true })
		var calls []*Call
		for range 3 {
			call, err := l.client.startIn(Slot{Session: s, Seq: 1, Low: 1}, []byte("x"))
			require.NoError(t, err)
			calls = append(calls, call)
		}
		time.Sleep(pollEvery)
		require.True(t, l.client.abandon(calls[1]))
		require.False(t, l.client.abandon(calls[1]), "it is gone")
		l.with(func(l *fakeLeader) {
			l.hold = false
			l.replay()
		})
		for _, i := range []int{0, 2} {
			o := <-calls[i].done
			require.NoError(t, o.Err)
			require.Equal(t, codec.Index(2), o.Index)
		}
		require.Empty(t, calls[1].done)
		require.Equal(t, 1, l.machine.commands)
		require.Empty(t, l.client.named.calls)
		require.False(t, l.client.named.some.Load())
	})
}
