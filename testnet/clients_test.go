package testnet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/logmesh/logmesh/internal/api"
)

// The steady load of a chaos run.
const (
	clientCount  = 8
	onceCount    = 2                     // clients that put each key once
	clientPause  = 25 * time.Millisecond // between two requests of a client
	requestLimit = 4 * time.Second
	slotCount    = 6   // registers in use at a time
	slotLength   = 150 // operations on one, so that its history can be checked
	slotOpen     = 5   // or so many whose outcome is unknown
)

// clients put, read strongly and compare-and-swap through all nodes at random,
// each one after the other, and go on with another node whatever the answer is.
type clients struct {
	history *history
	once    *load // keys that are put once (R1)
	slots   [slotCount]slot
	cancel  context.CancelFunc
	all     sync.WaitGroup

	mu    sync.Mutex
	nodes []*node
	acks  []time.Duration // when a write was acknowledged, by the history's clock, in order
	odd   map[string]int  // answers that no client should get
}

// slot is a register that is replaced when its history is long.
type slot struct {
	mu        sync.Mutex
	gen       int
	ops, open int
	last      register // seen or written last, by anybody
}

func startClients(nodes []*node, seed uint64) *clients {
	ctx, cancel := context.WithCancel(context.Background())
	c := &clients{history: newHistory(), once: newLoad(requestLimit), cancel: cancel, nodes: nodes, odd: map[string]int{}}
	for i := range clientCount {
		c.all.Go(func() { c.run(ctx, i, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i := range onceCount {
		c.all.Go(func() { c.runOnce(ctx, i, rand.New(rand.NewPCG(seed, uint64(clientCount+i)))) })
	}
	return c
}

// stop ends the load, once the requests under way are answered.
func (c *clients) stop() {
	c.cancel()
	c.all.Wait()
}

// through replaces the nodes that are asked.
func (c *clients) through(nodes []*node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = nodes
}

func (c *clients) pick(rng *rand.Rand) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[rng.IntN(len(c.nodes))]
}

// run is one client.
func (c *clients) run(ctx context.Context, client int, rng *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		at := rng.IntN(slotCount)
		key, last := c.slots[at].key(at)
		o := operation{client: client, key: key, value: fmt.Sprintf("%d/%d", client, i)}
		switch r := rng.IntN(100); {
		case r < 40:
			o.ask = askPut
		case r < 75:
			o.ask = askGet
		default:
			o.ask, o.old = askCAS, last
		}
		n := c.pick(rng)
		o.node = n.name()
		c.perform(n, &o)
		c.slots[at].note(&o)
		c.history.add(o)
		rest(ctx, clientPause)
	}
}

// runOnce is a client that puts each of its keys once.
func (c *clients) runOnce(ctx context.Context, client int, rng *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s%d/%s", written, client, fmtInt(i))
		if c.once.put(c.pick(rng), 0, key, key) {
			c.acknowledged()
		}
		rest(ctx, clientPause)
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// perform asks a node and notes what became of it.
func (c *clients) perform(n *node, o *operation) {
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	var err error
	var read api.Value
	o.call = c.history.now()
	switch o.ask {
	case askPut:
		_, err = n.api().Put(ctx, o.key, []byte(o.value))
	case askGet:
		read, err = n.api().Get(ctx, o.key, api.Strong)
	case askCAS:
		swap := api.Swap{New: []byte(o.value)}
		if o.old.there {
			swap.Old = []byte(o.old.value)
		}
		_, err = n.api().Swap(ctx, o.key, swap)
	}
	o.back = c.history.now()
	o.got = register{read.Found, string(read.Data)}
	o.outcome = c.classify(err)
	if o.ask != askGet && o.outcome == done {
		c.acknowledged()
	}
}

// classify says what an answer means for who asked.
func (c *clients) classify(err error) outcome {
	switch code := codeOf(err); code {
	case "":
		return done
	case api.CodePrecondition:
		return mismatch
	case api.CodeNoLeader, api.CodeUnreachable, api.CodeStopped:
		return refused
	case api.CodeUnknown, api.CodeTimeout:
		return unknown
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.odd[fmt.Sprintf("%s: %v", code, err)]++
		return unknown
	}
}

func (c *clients) acknowledged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, c.history.now())
}

// acked is how many writes were acknowledged so far.
func (c *clients) acked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acks)
}

// lastAck is when a write was acknowledged last.
func (c *clients) lastAck() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.acks) == 0 {
		return 0
	}
	return c.acks[len(c.acks)-1]
}

// gap is the longest time without an acknowledged write of those that contain at
// or begin within a second of it: what was answered just before a leader died may
// arrive just after.
func (c *clients) gap(at time.Duration) (longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i < len(c.acks); i++ {
		if from, to := c.acks[i-1], c.acks[i]; to > at && from < at+time.Second {
			longest = max(longest, to-from)
		}
	}
	return longest
}

// key is the register that is in use now, with what is known of its value.
func (s *slot) key(at int) (string, register) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops++
	if s.ops > slotLength || s.open >= slotOpen {
		s.gen, s.ops, s.open, s.last = s.gen+1, 1, 0, register{}
	}
	return fmt.Sprintf("register/%d/%s", at, fmtInt(s.gen)), s.last
}

// note takes in what is learned from an operation on it, or on one before it.
func (s *slot) note(o *operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case o.outcome == unknown && o.ask != askGet:
		s.open++
	case o.outcome == done && o.ask == askGet:
		s.last = o.got
	case o.outcome == done:
		s.last = register{true, o.value}
	}
}
