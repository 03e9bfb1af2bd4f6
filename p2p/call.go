package p2p

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/logmesh/logmesh/codec"
)

// Calls. A caller without a deadline of its own waits callTimeout; the one who
// answers gives up after serveTimeout, whatever the caller does.
const (
	callTimeout  = 10 * time.Second
	serveTimeout = 60 * time.Second
	callsOfPeer  = 128 // at a time, from one peer in one group
	callsInAll   = 1024
)

// Call asks a peer a question, one of the messages that readQuestion takes, and
// waits for the answer, until ctx ends or for callTimeout if it has no deadline. It bonds first if there is no bond. An error means that there was
// no answer, so what was asked may have been done.
func (g *Group) Call(ctx context.Context, to codec.PeerID, m codec.Message) (codec.Answer, error) {
	var answer codec.Answer
	p, err := decodePeer(to)
	if err != nil {
		return answer, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	s, b, err := g.openStream(ctx, p, protoCall)
	if err != nil {
		return answer, fmt.Errorf("%v to %s: %w", codec.TypeOf(m), to, err)
	}
	st, release := newStream(s, g, b)
	defer release()
	stop := context.AfterFunc(ctx, func() { _ = s.ResetWithError(codeClosed) })
	defer stop()
	if err := g.ask(st, m, &answer); err != nil {
		_ = s.ResetWithError(codeProtocol)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return codec.Answer{}, fmt.Errorf("%v to %s: %w", codec.TypeOf(m), to, explain(err))
	}
	_ = s.Close()
	return answer, nil
}

// ask writes Open and the question, and reads the answer.
func (g *Group) ask(st *stream, m codec.Message, answer *codec.Answer) error {
	frames, err := codec.AppendFrame(nil, g.opening())
	if err != nil {
		return err
	}
	if frames, err = codec.AppendFrame(frames, m); err != nil {
		return err
	}
	if err := st.sendBytes(frames); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	return receive(st, answer)
}

// serveCall reads one question and writes what the Handler answers.
func (n *Net) serveCall(s network.Stream) {
	var open codec.Open
	st, release, ok := admit(n, s, &open, openNames)
	if !ok {
		return
	}
	defer release()
	g, p := st.group, s.Conn().RemotePeer()
	if !g.calls.enter(p) {
		_ = s.ResetWithError(codeBusy)
		return
	}
	defer g.calls.leave(p)
	question, err := readQuestion(st)
	if err != nil {
		_ = s.ResetWithError(codeProtocol)
		return
	}
	ctx, cancel := context.WithTimeout(st.bond.ctx, serveTimeout)
	defer cancel()
	answer := g.cfg.Handler.Called(ctx, codec.PeerID(p.String()), question)
	if err := st.send(&answer); err != nil {
		g.net.log.Debug("answer not sent", "group", g.cfg.Name, "peer", p, "err", err)
		_ = s.ResetWithError(codeProtocol)
		return
	}
	_ = s.Close()
}

func readQuestion(st *stream) (codec.Message, error) {
	_ = st.SetReadDeadline(time.Now().Add(st.group.net.wait.frame))
	t, body, err := codec.ReadFrame(st, nil,
		codec.TypeJoin, codec.TypeLeave, codec.TypePropose, codec.TypeReadIndex, codec.TypeMembers,
		codec.TypeRemove, codec.TypePromote, codec.TypeTransfer, codec.TypeRetarget)
	if err != nil {
		return nil, err
	}
	var m codec.Message
	switch t {
	case codec.TypeJoin:
		m = &codec.Join{}
	case codec.TypeLeave:
		m = &codec.Leave{}
	case codec.TypePropose:
		m = &codec.Propose{}
	case codec.TypeReadIndex:
		m = &codec.ReadIndex{}
	case codec.TypeRemove:
		m = &codec.Remove{}
	case codec.TypePromote:
		m = &codec.Promote{}
	case codec.TypeTransfer:
		m = &codec.Transfer{}
	case codec.TypeRetarget:
		m = &codec.Retarget{}
	default:
		m = &codec.Members{}
	}
	return m, codec.Decode(body, m)
}
