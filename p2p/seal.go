package p2p

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/logmesh/logmesh/codec"
)

// gossipLabel is the label with which the gossip key is derived from the group
// key, and the first field of what a seal binds.
const gossipLabel = "logmesh/1/gossip"

// seal closes gossip messages with a key derived from the group key, so that
// only who knows it reads or writes them: XChaCha20-Poly1305, a random nonce of
// 24 bytes in front. The group and the author are bound in as additional data:
// another author cannot send the same bytes as its own.
type seal struct {
	aead  cipher.AEAD
	group codec.GroupID
}

func newSeal(groupKey []byte, group codec.GroupID) *seal {
	key := derive(groupKey, gossipLabel)
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic("seal: " + err.Error()) // the key has the right length
	}
	return &seal{aead: aead, group: group}
}

// close seals plain as a message of author.
func (s *seal) close(author codec.PeerID, plain []byte) []byte {
	out := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+s.aead.Overhead())
	_, _ = rand.Read(out) // it never fails
	return s.aead.Seal(out, out, plain, s.bound(author))
}

var errSealed = errors.New("sealed with another key, for another group, or by another author")

// open is the plain text of what author sealed.
func (s *seal) open(author codec.PeerID, sealed []byte) ([]byte, error) {
	const n = chacha20poly1305.NonceSizeX
	if len(sealed) < n {
		return nil, errSealed
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], s.bound(author))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func (s *seal) bound(author codec.PeerID) []byte {
	b := append([]byte(gossipLabel), s.group[:]...)
	return append(b, author...)
}
