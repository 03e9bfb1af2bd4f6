package p2p

import (
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/logmesh/logmesh/codec"
)

// Errors that callers act on. Test for them with errors.Is.
var (
	// ErrWrongKey: the peer has a group of the same name with another key, or
	// we have the wrong key.
	ErrWrongKey = errors.New("the group key differs")
	// ErrNoGroup: the peer takes no part in the group (yet).
	ErrNoGroup = errors.New("the peer takes no part in the group")
	// ErrNotBonded: no connection to the peer on which the group key is proved.
	ErrNotBonded = errors.New("no bond with the peer")
	// ErrBusy: the peer has no room for what was asked; try again.
	ErrBusy = errors.New("the peer is busy")
	// ErrClosed: the group or the network was closed here.
	ErrClosed = errors.New("closed")
)

// RefusedError says that the keys are equal but something else differs. Field
// is "machine", "log" or "version".
type RefusedError struct {
	Field  string
	Ours   string
	Theirs string

	// With "log": the index of the recovery that ended our log, or theirs; 0: it
	// is not known to have ended. A group that lost its majority for good was
	// recovered there and goes on as the other log.
	OursEnded, TheirsEnded codec.Index
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("the %s differs: ours is %s, theirs is %s", e.Field, e.Ours, e.Theirs)
	switch {
	case e.OursEnded != 0:
		text += fmt.Sprintf("; the group was recovered at index %d, without this node, and goes on as theirs. "+
			"This node's directory holds the log from before, perhaps with entries that the recovered group does not have: keep it. "+
			"To come back, move the directory away and join again from an empty one", e.OursEnded)
	case e.TheirsEnded != 0:
		text += fmt.Sprintf("; theirs ended when this group was recovered at index %d. "+
			"That node's directory may hold entries that this group does not have: keep it. "+
			"The node can join again from an empty directory", e.TheirsEnded)
	}
	return text
}

// The codes with which a stream of ours is reset, so that the other side knows
// why. They tell nothing that a stranger may not know.
const (
	codeWrongKey  network.StreamErrorCode = 0x6c01
	codeNoGroup   network.StreamErrorCode = 0x6c02
	codeNotBonded network.StreamErrorCode = 0x6c03
	codeBusy      network.StreamErrorCode = 0x6c04
	codeProtocol  network.StreamErrorCode = 0x6c05 // a bad frame, or one too slow
	codeReplaced  network.StreamErrorCode = 0x6c06 // by a newer stream of the same peer
	codeClosed    network.StreamErrorCode = 0x6c07
	codeLog       network.StreamErrorCode = 0x6c08 // the log ids differ
)

var codeErrors = map[network.StreamErrorCode]error{
	codeWrongKey:  ErrWrongKey,
	codeNoGroup:   ErrNoGroup,
	codeNotBonded: ErrNotBonded,
	codeBusy:      ErrBusy,
	codeClosed:    ErrNoGroup,
	codeLog:       errors.New("the log ids differ"),
}

// remoteCode is the code with which the other side reset the stream or its
// connection; 0 if it did not.
func remoteCode(err error) network.StreamErrorCode {
	var stream *network.StreamError
	if errors.As(err, &stream) && stream.Remote {
		return stream.ErrorCode
	}
	var conn *network.ConnError
	if errors.As(err, &conn) && conn.Remote {
		return network.StreamErrorCode(conn.ErrorCode)
	}
	return 0
}

// explain adds what the other side's reset code means.
func explain(err error) error {
	if meaning, ok := codeErrors[remoteCode(err)]; ok {
		return fmt.Errorf("%w (%w)", meaning, err)
	}
	return err
}
