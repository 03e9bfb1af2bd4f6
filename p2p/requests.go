package p2p

import (
	"context"
	"errors"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/logmesh/logmesh/codec"
)

// groupTopic is the topic on which a group's availability requests travel.
type groupTopic struct {
	group     *Group
	topic     *topic
	sequences *sequences
}

func newGroupTopic(g *Group) (*groupTopic, error) {
	t := &groupTopic{group: g, sequences: newSequences()}
	var err error
	if t.topic, err = g.net.gossip.join(groupTopics+g.id.String(), t.validate); err != nil {
		return nil, err
	}
	g.wg.Go(t.hearLoop)
	g.wg.Go(t.peersLoop)
	return t, nil
}

func (t *groupTopic) close() {
	if err := t.topic.close(); err != nil && t.group.net.ctx.Err() == nil {
		t.group.net.log.Debug("group topic not left", "group", t.group.cfg.Name, "err", err)
	}
}

// Broadcast asks by gossip who has blocks. Group, log id and requester are
// filled in. A message may be lost: repeat it.
func (g *Group) Broadcast(req codec.AvailabilityRequest) error {
	req.Group, req.Log, req.Requester = g.id, g.cfg.Log(), g.net.self
	plain, err := codec.Encode(&req)
	if err != nil {
		return err
	}
	err = g.topic.topic.topic.Publish(g.ctx, g.seal.close(g.net.self, plain))
	if errors.Is(err, pubsub.ErrTopicClosed) || g.ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// validate passes on what opens with the group key and is its author's own. What
// does not open is ignored, not rejected: a group of the same name with another
// key has the same topic, and its members mean no harm. What opens and is wrong
// comes from a broken member and is rejected.
func (t *groupTopic) validate(_ context.Context, _ peer.ID, msg *pubsub.Message) pubsub.ValidationResult {
	author := msg.GetFrom()
	name := codec.PeerID(author.String())
	plain, err := t.group.seal.open(name, msg.Data)
	if err != nil {
		return pubsub.ValidationIgnore
	}
	var m codec.AvailabilityRequest
	if err := codec.Decode(plain, &m); err != nil {
		return pubsub.ValidationReject
	}
	if m.Group != t.group.id || m.Requester != name {
		return pubsub.ValidationReject
	}
	if author != t.group.net.id && !t.sequences.grows(author, gossipNumber(msg)) {
		return pubsub.ValidationIgnore
	}
	msg.ValidatorData = &m
	return pubsub.ValidationAccept
}

// gossipNumber is the sequence number that the author signed with the message.
func gossipNumber(msg *pubsub.Message) uint64 {
	var n uint64
	for _, b := range msg.GetSeqno() {
		n = n<<8 | uint64(b)
	}
	return n
}

func (t *groupTopic) hearLoop() {
	g := t.group
	for {
		msg, err := t.topic.messages.Next(g.ctx)
		if err != nil {
			return
		}
		m, ok := msg.ValidatorData.(*codec.AvailabilityRequest)
		if !ok || msg.GetFrom() == g.net.id || logsDiffer(m.Log, g.cfg.Log()) {
			continue
		}
		g.heardOf(msg.GetFrom(), nil) // it knows the key
		g.cfg.Handler.AvailabilityAsked(*m)
	}
}

// peersLoop takes a connected peer that comes to the topic for one that takes
// part in the group: its announcement may come later.
func (t *groupTopic) peersLoop() {
	for {
		e, err := t.topic.events.NextPeerEvent(t.group.ctx)
		if err != nil {
			return
		}
		if e.Type == pubsub.PeerJoin {
			t.group.heardOf(e.Peer, nil)
		}
	}
}
