package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FrameType tells messages on a stream apart.
type FrameType uint8

// The frame types. The tens digit is the protocol.
const (
	TypeHello  FrameType = 0x10
	TypeProof  FrameType = 0x11
	TypeAccept FrameType = 0x12
	TypeRefuse FrameType = 0x13

	TypeRaftOpen  FrameType = 0x20
	TypeRaftBatch FrameType = 0x21
	TypeNotMe     FrameType = 0x22
	TypeRemovedAt FrameType = 0x23
	TypeProgress  FrameType = 0x24

	TypeOpen                FrameType = 0x30
	TypeAvailabilityRequest FrameType = 0x31
	TypeAvailabilityReply   FrameType = 0x32
	TypeFetch               FrameType = 0x33
	TypeExtend              FrameType = 0x34
	TypeTrim                FrameType = 0x35
	TypeCancel              FrameType = 0x36
	TypeLeaves              FrameType = 0x37
	TypeBlocks              FrameType = 0x38
	TypeEnd                 FrameType = 0x39

	TypeJoin      FrameType = 0x40
	TypeLeave     FrameType = 0x41
	TypePropose   FrameType = 0x42
	TypeReadIndex FrameType = 0x43
	TypeMembers   FrameType = 0x44
	TypeAnswer    FrameType = 0x45
	TypeRemove    FrameType = 0x46
	TypePromote   FrameType = 0x47
	TypeTransfer  FrameType = 0x48
	TypeRetarget  FrameType = 0x49

	TypeAnnouncement FrameType = 0x50
)

// frameTypes has every message's name and the greatest size of its body in bytes.
var frameTypes = map[FrameType]struct {
	name  string
	limit int
}{
	TypeHello:  {"Hello", 4 << 10},
	TypeProof:  {"Proof", 4 << 10},
	TypeAccept: {"Accept", 4 << 10},
	TypeRefuse: {"Refuse", 4 << 10},

	TypeRaftOpen:  {"RaftOpen", 1 << 10},
	TypeRaftBatch: {"RaftBatch", 4 << 20},
	TypeNotMe:     {"NotMe", 1 << 10},
	TypeRemovedAt: {"RemovedAt", 1 << 10},
	TypeProgress:  {"Progress", 1 << 10},

	TypeOpen:                {"Open", 1 << 10},
	TypeAvailabilityRequest: {"AvailabilityRequest", 1 << 10},
	TypeAvailabilityReply:   {"AvailabilityReply", 4 << 10},
	TypeFetch:               {"Fetch", 4 << 10},
	TypeExtend:              {"Extend", 4 << 10},
	TypeTrim:                {"Trim", 1 << 10},
	TypeCancel:              {"Cancel", 1 << 10},
	TypeLeaves:              {"Leaves", 16 << 10},
	TypeBlocks:              {"Blocks", MaxBlock + blocksHeadMax},
	TypeEnd:                 {"End", 4 << 10},

	TypeJoin:      {"Join", 16 << 10},
	TypeLeave:     {"Leave", 1 << 10},
	TypePropose:   {"Propose", 3 << 19},
	TypeReadIndex: {"ReadIndex", 1 << 10},
	TypeMembers:   {"Members", 1 << 10},
	TypeAnswer:    {"Answer", 3 << 19},
	TypeRemove:    {"Remove", 1 << 10},
	TypePromote:   {"Promote", 1 << 10},
	TypeTransfer:  {"Transfer", 1 << 10},
	TypeRetarget:  {"Retarget", 1 << 10},

	TypeAnnouncement: {"Announcement", 16 << 10},
}

func (t FrameType) String() string {
	if ft, ok := frameTypes[t]; ok {
		return ft.name
	}
	return fmt.Sprintf("frame type %#x", uint8(t))
}

// Limit is the greatest size of the message's body in bytes, 0 for an unknown type.
func (t FrameType) Limit() int { return frameTypes[t].limit }

// FrameHead is the length of what stands before a frame's body: its type (1
// byte) and the body's length (4 bytes, big endian).
const FrameHead = 5

// ErrFrame is wrapped by the errors of ReadFrame that the other side's bytes
// caused, as opposed to the stream's own errors.
var ErrFrame = errors.New("bad frame")

// AppendFrameHead appends the head of a frame whose body has size bytes.
func AppendFrameHead(dst []byte, t FrameType, size int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(t)), uint32(size))
}

// AppendFrame appends a whole frame that carries m.
func AppendFrame(dst []byte, m Message) ([]byte, error) {
	body, err := Encode(m)
	if err != nil {
		return dst, err
	}
	dst = AppendFrameHead(dst, m.frameType(), len(body))
	return append(dst, body...), nil
}

// ReadFrame reads one frame of one of the allowed types. The length is checked
// against the type's limit before memory is taken. The body is read into buf if
// it is large enough, else into new memory.
func ReadFrame(r io.Reader, buf []byte, allowed ...FrameType) (FrameType, []byte, error) {
	var head [FrameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	t := FrameType(head[0])
	size := binary.BigEndian.Uint32(head[1:])
	if err := checkFrame(t, size, allowed); err != nil {
		return 0, nil, err
	}
	if uint64(cap(buf)) < uint64(size) {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, fmt.Errorf("in a %v: %w", t, err)
	}
	return t, buf, nil
}

func checkFrame(t FrameType, size uint32, allowed []FrameType) error {
	for _, a := range allowed {
		if a != t {
			continue
		}
		if int64(size) > int64(t.Limit()) {
			return fmt.Errorf("%w: a %v of %d bytes, at most %d are allowed", ErrFrame, t, size, t.Limit())
		}
		return nil
	}
	return fmt.Errorf("%w: %v is not allowed here", ErrFrame, t)
}
