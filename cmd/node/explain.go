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
	var damaged *ledger.DamageError
	var removed *logmesh.RemovedError
	switch {
	case errors.As(err, &removed):
		return hinted(err, "to come back as a new member, move that directory away and start again with --join TICKET")
	case errors.As(err, &foreign):
		return hinted(err, "give this node a directory of its own with --data DIR")
	case errors.As(err, &damaged):
		return hinted(err, "`logmesh log verify DIR` lists all damage; a node with an empty directory fetches everything from its peers")
	case errors.Is(err, ledger.ErrInUse):
		return hinted(err, "stop that process, or give this node a directory of its own with --data DIR")
	case strings.Contains(err.Error(), "exists already"):
		return hinted(err, "leave out --found")
	case strings.Contains(err.Error(), "port is taken"):
		return hinted(err, "name another with --listen, or port 0 for a free one")
	}
	return err
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
