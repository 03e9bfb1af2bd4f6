package p2p

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/logmesh/logmesh/codec"
)

// PeerIDOf is the peer id of the node whose identity has the given seed.
func PeerIDOf(seed []byte) (codec.PeerID, error) {
	key, err := identity(seed)
	if err != nil {
		return "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("peer id: %w", err)
	}
	return codec.PeerID(id.String()), nil
}

func identity(seed []byte) (crypto.PrivKey, error) {
	if len(seed) != SeedSize {
		return nil, fmt.Errorf("the identity's seed has %d bytes, not %d", len(seed), SeedSize)
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return key, nil
}

// ParseListen checks a multiaddr to listen on. The error names the part that
// is bad.
func ParseListen(s string) (ma.Multiaddr, error) {
	addr, err := parseAddr(s)
	if err != nil {
		return nil, err
	}
	if _, err := addr.ValueForProtocol(ma.P_P2P); err == nil {
		return nil, fmt.Errorf("multiaddr %q: part /p2p names a peer; it is for dialling, not for listening", s)
	}
	return addr, nil
}

// ParsePeer checks a multiaddr to dial, which ends in /p2p/ID, and returns the
// peer's id. The error names the part that is bad.
func ParsePeer(s string) (codec.PeerID, error) {
	info, err := parsePeer(s)
	if err != nil {
		return "", err
	}
	return codec.PeerID(info.ID.String()), nil
}

func parsePeer(s string) (peer.AddrInfo, error) {
	addr, err := parseAddr(s)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	where, id := peer.SplitAddr(addr)
	switch {
	case id == "":
		return peer.AddrInfo{}, fmt.Errorf("multiaddr %q: it must end in /p2p/ and the peer's id", s)
	case len(where) == 0:
		return peer.AddrInfo{}, fmt.Errorf("multiaddr %q: nothing stands before /p2p that could be dialled", s)
	}
	return peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{where}}, nil
}

// parseAddr parses a multiaddr; its error names the first part that is bad.
func parseAddr(s string) (ma.Multiaddr, error) {
	addr, err := ma.NewMultiaddr(s)
	if err == nil {
		return addr, nil
	}
	if bad := badPart(s); bad != nil {
		err = bad
	}
	return nil, fmt.Errorf("multiaddr %q: %w", s, err)
}

// badPart finds the first part of s that is not one of a multiaddr.
func badPart(s string) error {
	if !strings.HasPrefix(s, "/") {
		return errors.New("it must begin with a slash, as in /ip4/127.0.0.1/tcp/4001")
	}
	words := strings.Split(strings.Trim(s, "/"), "/")
	for i := 0; i < len(words); i++ {
		proto := ma.ProtocolWithName(words[i])
		if proto.Code == 0 {
			return fmt.Errorf("part %q is no known protocol", words[i])
		}
		if proto.Size == 0 {
			continue
		}
		i++
		if i == len(words) {
			return fmt.Errorf("part /%s has no value", proto.Name)
		}
		if proto.Path {
			return nil
		}
		if _, err := ma.NewComponent(proto.Name, words[i]); err != nil {
			return fmt.Errorf("part /%s/%s: %w", proto.Name, words[i], err)
		}
	}
	return nil
}

// mergePeers joins the addresses of equal peers, in the order of first mention.
func mergePeers(addrs []string) ([]peer.AddrInfo, error) {
	var out []peer.AddrInfo
	at := map[peer.ID]int{}
	for _, s := range addrs {
		info, err := parsePeer(s)
		if err != nil {
			return nil, err
		}
		i, ok := at[info.ID]
		if !ok {
			at[info.ID] = len(out)
			out = append(out, info)
			continue
		}
		out[i].Addrs = append(out[i].Addrs, info.Addrs...)
	}
	return out, nil
}

// dialable are the addresses, as members state them, that can be parsed. A
// /p2p part must name the peer itself and is cut off.
func dialable(id peer.ID, addrs []string) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, s := range addrs {
		addr, err := ma.NewMultiaddr(s)
		if err != nil {
			continue
		}
		where, named := peer.SplitAddr(addr)
		if len(where) != 0 && (named == "" || named == id) {
			out = append(out, where)
		}
	}
	return out
}

func texts(addrs []ma.Multiaddr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
