package p2p

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/logmesh/logmesh/codec"
)

// Topics are one of these and the 64 hexadecimal digits of an id.
const (
	networkTopics = "/logmesh/1/network/"
	groupTopics   = "/logmesh/1/group/"
)

// Limits of gossip.
const (
	maxGossip     = 64 << 10            // bytes of one RPC; the largest message is an Announcement, 16 KiB
	maxTopics     = codec.MaxGroups + 2 // that one peer may be subscribed to
	maxAuthors    = 4096                // whose sequence numbers are remembered
	authorQuiet   = 45 * time.Second    // after which an author may begin anew: its clock may have jumped back
	validatorWait = 5 * time.Second     // for one message
	heartbeat     = 500 * time.Millisecond
)

// gossip is the node's pubsub. It is set up so that networks of two to six
// nodes work at once: own messages go to every connected peer of the topic
// (flood publish), and the mesh that passes them on is mended at each heartbeat.
type gossip struct {
	pubsub *pubsub.PubSub
	filter *filter
}

func newGossip(n *Net) (*gossip, error) {
	f := &filter{of: map[peer.ID]map[string]bool{}}
	params := pubsub.DefaultGossipSubParams()
	params.HeartbeatInterval = heartbeat
	params.HistoryLength = 12 // heartbeats that a message can be asked for
	params.HistoryGossip = 6  // heartbeats that a message is offered for
	ps, err := pubsub.NewGossipSub(n.ctx, n.host,
		pubsub.WithGossipSubParams(params),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerExchange(false),
		pubsub.WithMaxMessageSize(maxGossip),
		pubsub.WithMaxControlMessageSize(maxGossip/2),
		pubsub.WithPeerOutboundQueueSize(128),
		pubsub.WithSubscriptionFilter(f),
		pubsub.WithPeerScore(scores()),
		pubsub.WithLogger(slog.New(demoted{n.log.Handler()}).With("logger", "pubsub")),
	)
	if err != nil {
		return nil, err
	}
	return &gossip{pubsub: ps, filter: f}, nil
}

// scores punish what only a broken or hostile peer does: messages that a
// validator rejects, and floods of GRAFT or IHAVE. What is merely not for us is
// ignored, and costs nobody anything. Nothing is gained by being liked.
func scores() (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	return &pubsub.PeerScoreParams{
		SkipAtomicValidation:      true,
		Topics:                    map[string]*pubsub.TopicScoreParams{},
		BehaviourPenaltyWeight:    -1,
		BehaviourPenaltyThreshold: 6,
		BehaviourPenaltyDecay:     0.9,
		DecayInterval:             time.Second,
		DecayToZero:               0.01,
		RetainScore:               10 * time.Minute,
	}, &pubsub.PeerScoreThresholds{
		SkipAtomicValidation: true,
		GossipThreshold:      -20,
		PublishThreshold:     -50,
		GraylistThreshold:    -100,
	}
}

// topicScores: ten rejected messages within a minute silence a peer.
func topicScores() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		SkipAtomicValidation:           true,
		TopicWeight:                    1,
		TimeInMeshQuantum:              time.Second,
		InvalidMessageDeliveriesWeight: -1,
		InvalidMessageDeliveriesDecay:  0.97,
	}
}

// join takes part in a topic.
func (g *gossip) join(name string, validate pubsub.ValidatorEx) (*topic, error) {
	err := g.pubsub.RegisterTopicValidator(name, validate,
		pubsub.WithValidatorInline(true), pubsub.WithValidatorTimeout(validatorWait))
	if err != nil {
		return nil, err
	}
	t := &topic{gossip: g, name: name}
	if t.topic, err = g.pubsub.Join(name); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if err := t.topic.SetScoreParams(topicScores()); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if t.events, err = t.topic.EventHandler(); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if t.messages, err = t.topic.Subscribe(pubsub.WithBufferSize(256)); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// topic is a topic that the node takes part in.
type topic struct {
	gossip   *gossip
	name     string
	topic    *pubsub.Topic
	events   *pubsub.TopicEventHandler
	messages *pubsub.Subscription
}

func (t *topic) close() error {
	if t.messages != nil {
		t.messages.Cancel()
	}
	if t.events != nil {
		t.events.Cancel()
	}
	err := t.gossip.pubsub.UnregisterTopicValidator(t.name)
	if t.topic != nil {
		err = errors.Join(err, t.topic.Close())
	}
	return err
}

// filter keeps peers from subscribing to what is no topic of ours, or to many.
// Topics of groups that are not open here are allowed: a subscription is told
// once, and the group may be opened later.
type filter struct {
	mu sync.Mutex
	of map[peer.ID]map[string]bool
}

var errTopics = errors.New("too many subscriptions")

// CanSubscribe implements pubsub.SubscriptionFilter.
func (f *filter) CanSubscribe(name string) bool {
	id, ok := strings.CutPrefix(name, networkTopics)
	if !ok {
		id, ok = strings.CutPrefix(name, groupTopics)
	}
	if !ok {
		return false
	}
	_, err := codec.ParseHash(id)
	return err == nil
}

// FilterIncomingSubscriptions implements pubsub.SubscriptionFilter.
func (f *filter) FilterIncomingSubscriptions(p peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	if len(subs) > 2*maxTopics {
		return nil, errTopics
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	has := f.of[p]
	if has == nil {
		has = map[string]bool{}
		f.of[p] = has
	}
	return pubsub.FilterSubscriptions(subs, func(name string) bool {
		return f.CanSubscribe(name) && f.count(has, name)
	}), nil
}

// count notes a topic of a peer. Once seen it counts until the peer is gone,
// so that subscribing and unsubscribing gains nothing.
func (f *filter) count(has map[string]bool, name string) bool {
	if !has[name] && len(has) >= maxTopics {
		return false
	}
	has[name] = true
	return true
}

// forget drops what is kept of a peer that is gone.
func (f *filter) forget(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, p)
}

// sequences remembers the last sequence number of each author, so that a
// message cannot be played again after pubsub has forgotten it.
type sequences struct {
	mu   sync.Mutex
	last map[peer.ID]sequence
}

type sequence struct {
	number uint64
	heard  time.Time
}

func newSequences() *sequences { return &sequences{last: map[peer.ID]sequence{}} }

// grows notes number and reports whether it is above the author's last one, or
// nothing was heard of the author for authorQuiet.
func (s *sequences) grows(author peer.ID, number uint64) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.last[author]
	if ok && number <= last.number && now.Sub(last.heard) < authorQuiet {
		return false
	}
	if !ok && len(s.last) >= maxAuthors {
		s.evict(now)
	}
	s.last[author] = sequence{number, now}
	return true
}

// evict makes room: authors that are quiet, or any one.
func (s *sequences) evict(now time.Time) {
	for p, q := range s.last {
		if now.Sub(q.heard) >= authorQuiet {
			delete(s.last, p)
		}
	}
	for p := range s.last {
		if len(s.last) < maxAuthors {
			return
		}
		delete(s.last, p)
	}
}
