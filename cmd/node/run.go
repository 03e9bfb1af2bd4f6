package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
	"github.com/logmesh/logmesh/machine/kv"
)

const (
	defaultAPI = "127.0.0.1:6171"
	// A clean stop takes 5 s at most: first requests may finish, then the node.
	drainTimeout = time.Second
	stopTimeout  = 4 * time.Second
)

// runFlags are the flags of `run`.
type runFlags struct {
	network, group, groupKey, role, http, logLevel string
	listen, join                                   []string
	found                                          bool
	voters                                         int
	serveRate                                      byteRate
	trust                                          sizedRoot
	httpGiven                                      bool
	chaos                                          chaosFlags
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run a node: found a group, join one, or come back to one",
		Long: `Run a node until it is interrupted. The first start founds a group (--found) or joins one
(--join); later starts on the same directory need neither.

The node prints its id, its addresses and the line that joins it. While it is ready,
node.json in its directory says where it is reached. A first Ctrl-C stops it cleanly within
5 seconds, a second one at once. It also ends when the node leaves the group (exit status 0) or is
removed from it (exit status 3).`,
		Example: `  logmesh run --found
  logmesh run --data node2 --group-key group.key --join logmesh1:…
  logmesh run --data node3 --group-key group.key --join /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…
  logmesh run --network prod --listen /ip4/0.0.0.0/tcp/4001 --group-key group.key --found --voters 5`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.httpGiven = cmd.Flags().Changed("http")
			return a.run(cmd.Context(), f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.network, "network", "", "`name` of the network (default: the ticket's, else "+logmesh.DefaultNetwork+")")
	fl.StringVar(&f.group, "group", "", "`name` of the group (default: the ticket's, else "+logmesh.DefaultGroup+")")
	fl.StringVar(&f.groupKey, "group-key", "", "`file` with the group key (default: group.key in the data directory; --found makes it)")
	fl.StringVar(&a.data, "data", "", "data `directory` (default: logmesh in the XDG data directory)")
	fl.StringArrayVar(&f.listen, "listen", nil, "`multiaddr` to listen on; again for more (default: ports of 127.0.0.1, the same at each start if they are free)")
	fl.StringArrayVar(&f.join, "join", nil, "`multiaddr or ticket` of a member; again for more")
	fl.BoolVar(&f.found, "found", false, "found the group, unless the directory holds it already")
	fl.IntVar(&f.voters, "voters", 0, "how many voters a group founded here wants (default 3)")
	fl.StringVar(&f.role, "role", codec.RoleVoter.String(), "voter: votes when a voter is needed; observer: never")
	fl.Var(&f.trust, "trust", "catch up to this root of the log's block tree without asking the voters (see blocks and root in `status --json`)")
	fl.Var(&f.serveRate, "serve-rate", "at most so many bytes per second to members that catch up; 0: no limit")
	fl.StringVar(&f.http, "http", defaultAPI, "`address` of the local API; port 0: a free one")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	f.chaos.add(fl)
	return cmd
}

// plan is what the flags of `run` mean together.
type plan struct {
	node  logmesh.Config
	group logmesh.GroupConfig
	http  string
	// httpAny: take a free port if that of http is taken.
	httpAny bool
	keyFile string // where the key stands, for the line that joins; empty: in the ticket
	makeKey bool   // keyFile is missing and --found makes it
	chaos   chaosFlags
}

func (a *app) run(ctx context.Context, f runFlags) error {
	p, err := a.plan(f)
	if err != nil {
		return err
	}
	dir, err := openDir(p.node.Data)
	if err != nil {
		return err
	}
	defer dir.close()
	if err := p.loadKey(); err != nil {
		return err
	}
	if len(f.join) == 0 && !f.found && !dir.holdsGroup() {
		return hinted(usagef("nothing to run in %s: it holds no group", dir.path),
			"`logmesh run --found` founds one, `logmesh run --join TICKET` joins one")
	}
	if len(p.node.Listen) == 0 {
		p.node.Listen = dir.lastListen()
	}
	return a.serve(ctx, dir, p)
}

// maxRepairs is how often damage that is found while the node runs is repaired,
// before the node gives up: a disk that goes on so is to be replaced.
const maxRepairs = 3

// serve runs the node of a plan until ctx ends or the group stops.
func (a *app) serve(ctx context.Context, dir *dataDir, p plan) (err error) {
	l, err := a.listenAPI(p)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }() // the server closes it first
	node, err := logmesh.Open(ctx, p.node)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, a.stop(node)) }()
	mend, err := p.chaos.serve(node)
	if err != nil {
		return err
	}
	defer mend()
	ready := func() error { return a.announce(dir, p, node, l.Addr().String()) }
	for repairs := 0; ; repairs++ {
		err := a.takePart(ctx, p, node, l, ready)
		if err == nil {
			return nil
		}
		var damaged *logmesh.DamagedError
		if !errors.As(err, &damaged) || !damaged.Repairable || repairs == maxRepairs {
			return explain(err)
		}
		a.say("%v", damaged.Cause)
		a.say("  repairing it")
		if l, err = net.Listen("tcp", l.Addr().String()); err != nil {
			return fmt.Errorf("the API's address: %w", err)
		}
		ready = func() error { return nil }
	}
}

// takePart runs the group and the API on l until ctx ends or one of them stops.
// ready is called once both are up.
func (a *app) takePart(ctx context.Context, p plan, node *logmesh.Node, l net.Listener, ready func() error) (err error) {
	group, err := node.Join(ctx, p.group, kv.New())
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted before the node was ready")
	}
	if err != nil {
		return err
	}
	server := api.NewServer(api.Node{
		Store: api.NewStore(group), Status: group.Status, Members: group, SetServeRate: group.SetServeRate, Logger: p.node.Logger,
	}, l.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		err = errors.Join(err, server.Close(ctx))
	}()
	if err := ready(); err != nil {
		return err
	}
	following, stop := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { a.follow(following, group.Status) })
	defer told.Wait()
	defer stop()
	select {
	case <-ctx.Done():
		stop()
		told.Wait()
		a.say("stopping; once more to stop at once")
		return nil
	case err := <-failed:
		return fmt.Errorf("the API stopped: %w", err)
	case <-group.Done():
		if group.Err() == nil {
			stop()
			told.Wait()
			a.say("this node has left the group; to join again, move %s away", filepath.Join(p.node.Data, groupsDir))
			return nil
		}
		return fmt.Errorf("the group stopped: %w", group.Err())
	}
}

// stop closes the node, and gives up after stopTimeout.
func (a *app) stop(node *logmesh.Node) error {
	closed := make(chan error, 1)
	go func() { closed <- node.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(stopTimeout):
		return fmt.Errorf("not stopped after %v; what was acknowledged is safe", stopTimeout)
	}
}

func (a *app) listenAPI(p plan) (net.Listener, error) {
	l, err := net.Listen("tcp", p.http)
	if err != nil && p.httpAny && portTaken(err) {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err == nil {
			a.say("port %s is taken; the API is at http://%s", p.http, l.Addr())
		}
	}
	if err != nil && portTaken(err) {
		return nil, hinted(fmt.Errorf("the API's address %s is taken", p.http), "name another with --http, or --http 127.0.0.1:0 for a free port")
	}
	if err != nil {
		return nil, hinted(fmt.Errorf("the API's address %s: %w", p.http, err), "an address is host:port, as in %s", defaultAPI)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		a.say("warning: the API at %s can be reached from other machines, and asks nobody for a password", l.Addr())
	}
	return l, nil
}

// announce writes node.json and says how to reach the node.
func (a *app) announce(dir *dataDir, p plan, node *logmesh.Node, apiAddr string) error {
	t := logmesh.Ticket{Network: p.node.Network, Group: p.group.Name, Peers: node.Addrs()}
	t.Peers = t.Peers[:min(len(t.Peers), logmesh.MaxTicketPeers)]
	file := nodeFile{
		ID: string(node.ID()), Network: t.Network, Group: t.Group, Addrs: node.Addrs(),
		API: apiAddr, PID: os.Getpid(), Ticket: t.String(),
	}
	if err := dir.ready(file); err != nil {
		return err
	}
	key := p.keyFile
	if key == "" {
		key = "FILE"
	}
	a.say("logmesh %s", readBuildInfo().Version)
	a.say("  node       %s", node.ID())
	a.say("  group      %s in network %s", t.Group, t.Network)
	for i, addr := range node.Addrs() {
		a.say("  %-9s  %s", []string{"addresses", ""}[min(i, 1)], addr)
	}
	a.say("  API        http://%s", apiAddr)
	a.say("  data       %s", dir.path)
	a.say("  join with  %s run --data %s --group-key %s --join %s", calledAs(), nextTo(dir.path), key, t)
	return nil
}

// calledAs is how a shell finds this program again.
func calledAs() string {
	if strings.Contains(os.Args[0], "/") {
		return os.Args[0]
	}
	return "logmesh"
}

// nextTo names a data directory for another node than that in dir: node2 after
// node1.
func nextTo(dir string) string {
	name := filepath.Base(dir)
	stem := strings.TrimRight(name, "0123456789")
	n, err := strconv.ParseUint(name[len(stem):], 10, 32)
	if stem == "" || err != nil {
		return "node2"
	}
	return fmt.Sprint(stem, n+1)
}

// plan checks the flags and puts them together.
func (a *app) plan(f runFlags) (p plan, err error) {
	p.http, p.httpAny, p.chaos = f.http, !f.httpGiven, f.chaos
	if p.node.Data, err = a.dataPath(); err != nil {
		return p, err
	}
	if err := p.peers(f); err != nil {
		return p, err
	}
	if p.node.Listen, err = checkListen(f.listen); err != nil {
		return p, err
	}
	if p.node.Logger, err = a.logger(f.logLevel); err != nil {
		return p, err
	}
	if err := p.group.Role.UnmarshalText([]byte(f.role)); err != nil || p.group.Role == codec.RoleStandby {
		return p, usagef("--role %s: it must be voter or observer", f.role)
	}
	if f.voters != 0 && !f.found {
		return p, usagef("--voters is for --found: a group's founding decides it")
	}
	if f.voters < 0 || f.voters > codec.MaxVoters {
		return p, usagef("--voters %d: it must be from 1 to %d", f.voters, codec.MaxVoters)
	}
	p.group.Found, p.group.Voters, p.group.ServeRate = f.found, f.voters, int64(f.serveRate)
	p.group.Trust = codec.SizedRoot(f.trust)
	p.keyFile, p.makeKey = f.groupKey, f.found && f.groupKey == ""
	if p.keyFile == "" && p.group.Key == nil {
		p.keyFile = filepath.Join(p.node.Data, keyFileName)
	}
	return p, nil
}

func (a *app) dataPath() (string, error) {
	if a.data == "" {
		return defaultData()
	}
	return filepath.Abs(a.data)
}

// peers takes network, group, peers and perhaps the key from --join.
func (p *plan) peers(f runFlags) error {
	p.node.Network, p.group.Name = f.network, f.group
	for _, join := range f.join {
		if !logmesh.IsTicket(join) {
			if err := checkPeer(join); err != nil {
				return err
			}
			p.node.Peers = append(p.node.Peers, join)
			continue
		}
		t, err := logmesh.ParseTicket(join)
		if err != nil {
			return hinted(usageError{fmt.Errorf("--join: %w", err)}, "copy the whole line that `logmesh ticket` prints")
		}
		if err := p.ticket(t); err != nil {
			return err
		}
	}
	if p.node.Network == "" {
		p.node.Network = logmesh.DefaultNetwork
	}
	if p.group.Name == "" {
		p.group.Name = logmesh.DefaultGroup
	}
	return nil
}

func (p *plan) ticket(t logmesh.Ticket) error {
	for _, peer := range t.Peers {
		if err := checkPeer(peer); err != nil {
			return fmt.Errorf("in the ticket: %w", err)
		}
	}
	if p.node.Network != "" && p.node.Network != t.Network {
		return usagef("the ticket is for network %q, not %q", t.Network, p.node.Network)
	}
	if p.group.Name != "" && p.group.Name != t.Group {
		return usagef("the ticket is for group %q, not %q", t.Group, p.group.Name)
	}
	p.node.Network, p.group.Name = t.Network, t.Group
	p.node.Peers = append(p.node.Peers, t.Peers...)
	if len(t.Key) != 0 {
		p.group.Key = t.Key
	}
	return nil
}

// loadKey reads the group key, or makes one for a founder. --group-key goes
// before a ticket's key.
func (p *plan) loadKey() error {
	if p.keyFile == "" {
		return nil // the ticket's
	}
	key, err := readKeyFile(p.keyFile)
	if errors.Is(err, os.ErrNotExist) && p.makeKey {
		if err := newKeyFile(p.keyFile); err != nil {
			return err
		}
		key, err = readKeyFile(p.keyFile)
	}
	if errors.Is(err, os.ErrNotExist) {
		return hinted(fmt.Errorf("the group key is missing: there is no %s", p.keyFile),
			"copy the file from a member and name it with --group-key, or take a ticket of `logmesh ticket --with-key`")
	}
	if err != nil {
		return fmt.Errorf("the group key: %w", err)
	}
	p.group.Key = key
	return nil
}

func (a *app) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level %s: it must be debug, info, warn or error", level)
	}
	if !terminal(a.err) {
		return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: l})), nil
	}
	noColor := os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	return slog.New(tint.NewTextHandler(a.err, &tint.Options{Level: l, TimeFormat: time.TimeOnly, NoColor: noColor})), nil
}

// portTaken reports whether err says that an address is in use.
func portTaken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
