package p2p

import (
	"context"
	"slices"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/time/rate"

	"github.com/logmesh/logmesh/codec"
)

// Limits of announcements.
const (
	lookInterval = time.Second      // at which roles and log ids are compared
	addrTTL      = 10 * time.Minute // for which an announced address is kept
	authorRate   = 5                // announcements of one author, per second, that are passed on
	authorBurst  = 20
)

// announcer makes the node known on the network topic and hears of others.
type announcer struct {
	net   *Net
	topic *topic
	again chan struct{} // something changed
	came  chan struct{} // a peer came to the topic

	sequences *sequences
	mu        sync.Mutex
	rates     map[peer.ID]*rate.Limiter // reset when there are maxAuthors
	last      uint64                    // our sequence number
}

func newAnnouncer(n *Net) (*announcer, error) {
	a := &announcer{
		net: n, again: make(chan struct{}, 1), came: make(chan struct{}, 1),
		sequences: newSequences(), rates: map[peer.ID]*rate.Limiter{},
	}
	var err error
	if a.topic, err = n.gossip.join(networkTopics+n.network.String(), a.validate); err != nil {
		return nil, err
	}
	addrs, err := n.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		return nil, err
	}
	n.wg.Go(func() {
		defer addrs.Close()
		a.announceLoop(addrs.Out())
	})
	n.wg.Go(a.hearLoop)
	n.wg.Go(a.peersLoop)
	return a, nil
}

// stir announces at once, and begins the quick waits anew.
func (a *announcer) stir() { kick(a.again) }

// announceLoop publishes announcements until the node closes.
func (a *announcer) announceLoop(addrs <-chan any) {
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	s := schedule{timer: time.NewTimer(0)}
	defer s.timer.Stop()
	said := a.tags()
	for {
		select {
		case <-a.net.ctx.Done():
			return
		case <-s.timer.C:
			said = a.tags()
			a.announce(said)
			s.announced(time.Now())
		case <-look.C:
			if !slices.Equal(a.tags(), said) {
				for _, g := range a.net.open() {
					g.Rebond()
				}
				s.changed(time.Now())
			}
		case <-a.again:
			s.changed(time.Now())
		case <-addrs:
			s.changed(time.Now())
		case <-a.came:
			s.came(time.Now())
		}
	}
}

func (a *announcer) tags() []codec.GroupTag {
	groups := a.net.open()
	slices.SortFunc(groups, func(x, y *Group) int { return slices.Compare(x.id[:], y.id[:]) })
	tags := []codec.GroupTag{}
	for _, g := range groups {
		if len(tags) < codec.MaxGroups {
			tags = append(tags, codec.GroupTag{Group: g.id, Log: g.cfg.Log(), Role: g.cfg.Role()})
		}
	}
	return tags
}

func (a *announcer) announce(tags []codec.GroupTag) {
	m := codec.Announcement{
		Peer: a.net.self, Addrs: a.addrs(), Seq: a.next(), Groups: tags, Version: codec.ProtocolVersion,
	}
	data, err := codec.Encode(&m)
	if err == nil {
		err = a.topic.topic.Publish(a.net.ctx, data)
	}
	if err != nil && a.net.ctx.Err() == nil {
		a.net.log.Warn("announcement not sent", "err", err)
	}
}

// next is a sequence number above all that this node, or an earlier run of it,
// has used, unless the clock was set back.
func (a *announcer) next() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = max(a.last+1, uint64(time.Now().UnixMicro()))
	return a.last
}

func (a *announcer) addrs() []string {
	var out []string
	for _, s := range texts(a.net.host.Addrs()) {
		if len(out) < codec.MaxAddrs && len(s) <= codec.MaxAddrBytes {
			out = append(out, s)
		}
	}
	return out
}

// validate passes on what its author signed about itself. What no honest node
// sends is rejected and counts against who passed it on; what is merely old or
// frequent is ignored, because an honest relay may not know.
func (a *announcer) validate(_ context.Context, _ peer.ID, msg *pubsub.Message) pubsub.ValidationResult {
	author := msg.GetFrom()
	var m codec.Announcement
	if err := codec.Decode(msg.Data, &m); err != nil {
		return pubsub.ValidationReject
	}
	if m.Peer != codec.PeerID(author.String()) {
		return pubsub.ValidationReject
	}
	if author != a.net.id && (!a.sequences.grows(author, m.Seq) || !a.allow(author)) {
		return pubsub.ValidationIgnore
	}
	msg.ValidatorData = &m
	return pubsub.ValidationAccept
}

func (a *announcer) allow(author peer.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rates[author]
	if r == nil {
		if len(a.rates) >= maxAuthors {
			clear(a.rates)
		}
		r = rate.NewLimiter(authorRate, authorBurst)
		a.rates[author] = r
	}
	return r.Allow()
}

// hearLoop takes announcements of others.
func (a *announcer) hearLoop() {
	for {
		msg, err := a.topic.messages.Next(a.net.ctx)
		if err != nil {
			return
		}
		if m, ok := msg.ValidatorData.(*codec.Announcement); ok && msg.GetFrom() != a.net.id {
			a.heard(msg.GetFrom(), m)
		}
	}
}

func (a *announcer) heard(p peer.ID, m *codec.Announcement) {
	var addrs []ma.Multiaddr
	for _, tag := range m.Groups {
		g := a.net.group(tag.Group)
		if g == nil {
			continue
		}
		if addrs == nil {
			addrs = dialable(p, m.Addrs)
			a.net.host.Peerstore().AddAddrs(p, addrs, addrTTL)
		}
		g.heardOf(p, addrs)
	}
}

// peersLoop announces to peers that come to the topic.
func (a *announcer) peersLoop() {
	for {
		e, err := a.topic.events.NextPeerEvent(a.net.ctx)
		if err != nil {
			return
		}
		if e.Type == pubsub.PeerJoin {
			kick(a.came)
		}
	}
}
