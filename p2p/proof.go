package p2p

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"github.com/logmesh/logmesh/codec"
)

// bondLabel is the first field of what a proof covers, and the label with which
// the bond's key is derived from the group key.
const bondLabel = "logmesh/1/bond"

// The sides of a bond. They are part of what a proof covers, so that a proof
// sent back to its maker proves nothing.
const (
	sideDialer   = 1
	sideListener = 2
)

// derive is the 32-byte key for one purpose: HKDF-SHA-256 of the group key
// without salt, the label as info (RFC 5869).
func derive(groupKey []byte, label string) [32]byte {
	key, err := hkdf.Key(sha256.New, groupKey, nil, label, 32)
	if err != nil {
		panic("hkdf: " + err.Error()) // 32 bytes are always to be had
	}
	return [32]byte(key)
}

// claims is what one side says about itself, under its proof.
type claims struct {
	log     codec.LogID
	machine string
	version uint64
	before  []codec.Recovery // the logs that ended on the way to log; a dialer's are told
}

// exchange is what both sides of one bond attempt see alike.
type exchange struct {
	group            codec.GroupID
	dialer, listener codec.PeerID
	// The nonces of Hello: an incarnation, and 16 bytes made for this attempt.
	dialerNonce, listenerNonce codec.Hash
}

// prove is the MAC of one side over the exchange and its claims; doc.go has the
// byte table.
func (x *exchange) prove(key [32]byte, side byte, c claims) codec.Hash {
	mac := hmac.New(sha256.New, key[:])
	field := func(b []byte) {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(b)))
		_, _ = mac.Write(size[:])
		_, _ = mac.Write(b)
	}
	field([]byte(bondLabel))
	field([]byte{side})
	field([]byte(x.dialer))
	field([]byte(x.listener))
	field(x.dialerNonce[:])
	field(x.listenerNonce[:])
	field(x.group[:])
	field(c.log[:])
	field([]byte(c.machine))
	field(binary.BigEndian.AppendUint64(nil, c.version))
	if side == sideDialer {
		field(recoveryBytes(c.before))
	}
	return codec.Hash(mac.Sum(nil))
}

func recoveryBytes(before []codec.Recovery) (out []byte) {
	for _, r := range before {
		out = binary.BigEndian.AppendUint64(append(out, r.Log[:]...), uint64(r.Index))
	}
	return out
}

// proved reports in constant time whether mac is that side's proof.
func (x *exchange) proved(key [32]byte, side byte, c claims, mac codec.Hash) bool {
	want := x.prove(key, side, c)
	return hmac.Equal(want[:], mac[:])
}

// differs is nil if the two sides can work together. A log id that one side
// does not know yet differs from none.
func (c claims) differs(theirs claims) *RefusedError {
	switch {
	case c.version != theirs.version:
		return &RefusedError{Field: "version", Ours: versionText(c.version), Theirs: versionText(theirs.version)}
	case c.machine != theirs.machine:
		return &RefusedError{Field: "machine", Ours: c.machine, Theirs: theirs.machine}
	case logsDiffer(c.log, theirs.log):
		return c.logDiffers(theirs.log, codec.Ended(theirs.before, c.log))
	}
	return nil
}

// logDiffers says why there is no bond with a peer of another log. ended is the
// recovery that ended ours, as the peer told; 0: it told of none.
func (c claims) logDiffers(theirs codec.LogID, ended codec.Index) *RefusedError {
	e := &RefusedError{Field: "log", Ours: c.log.String(), Theirs: theirs.String()}
	if at := codec.Ended(c.before, theirs); at != 0 {
		e.TheirsEnded = at
	} else {
		e.OursEnded = ended
	}
	return e
}

func logsDiffer(a, b codec.LogID) bool { return !a.IsZero() && !b.IsZero() && a != b }

func versionText(v uint64) string { return strconv.FormatUint(v, 10) }
