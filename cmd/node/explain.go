package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/p2p"
)

// explain adds to an error of the node what to do about it.
func explain(err error) error {
	var foreign *ledger.ForeignError
	var removed *logmesh.RemovedError
	var damaged *logmesh.DamagedError
	switch {
	case errors.As(err, &removed):
		return hinted(err, "to come back as a new member, move that directory away and start again with --join TICKET")
	case errors.As(err, &foreign):
		return hinted(err, "give this node a directory of its own with --data DIR")
	case errors.As(err, &damaged) && damaged.Repairable:
		return hinted(err, "start it again: it repairs itself; if this goes on, replace the disk. `logmesh log verify DIR` lists all damage")
	case errors.As(err, &damaged):
		return hinted(err, "%s", emptyAgain(err))
	case errors.Is(err, ledger.ErrInUse):
		return hinted(err, "stop that process, or give this node a directory of its own with --data DIR")
	case strings.Contains(err.Error(), "exists already"):
		return hinted(err, "leave out --found")
	case strings.Contains(err.Error(), "port is taken"):
		return hinted(err, "name another with --listen, or port 0 for a free one")
	}
	return err
}

// emptyAgain is how a node whose ledger is lost comes back.
func emptyAgain(err error) string {
	dir := "DIR"
	var lost *ledger.DamageError
	if errors.As(err, &lost) && lost.Lost != "" {
		dir = lost.Lost
	}
	return fmt.Sprintf("mv %s %s.damaged, then start the node again as before, with --join and the address or ticket of a member", dir, dir)
}

func checkListen(addrs []string) ([]string, error) {
	for _, addr := range addrs {
		if _, err := p2p.ParseListen(addr); err != nil {
			return nil, usageError{fmt.Errorf("--listen: %w", err)}
		}
	}
	return addrs, nil
}

func checkPeer(addr string) error {
	if _, err := p2p.ParsePeer(addr); err != nil {
		return usageError{fmt.Errorf("--join: %w", err)}
	}
	return nil
}
