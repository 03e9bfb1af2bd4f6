package sim

import "github.com/logmesh/logmesh/codec"

// encode is the bytes of a message: everything that crosses the network does so
// as bytes.
func (w *World) encode(m codec.Message) []byte {
	data, err := codec.Encode(m)
	if err != nil {
		w.violate("codec", "encode: %v", err)
	}
	return data
}

func (w *World) decode(data []byte, m codec.Message) {
	if err := codec.Decode(data, m); err != nil {
		w.violate("codec", "decode: %v", err)
	}
}

// newMessage is an empty message of a kind.
func newMessage(t codec.FrameType) codec.Message {
	switch t {
	case codec.TypeRaftBatch:
		return &codec.RaftBatch{}
	case codec.TypeProgress:
		return &codec.Progress{}
	case codec.TypeAvailabilityRequest:
		return &codec.AvailabilityRequest{}
	case codec.TypeFetch:
		return &codec.Fetch{}
	case codec.TypeExtend:
		return &codec.Extend{}
	case codec.TypeTrim:
		return &codec.Trim{}
	case codec.TypeCancel:
		return &codec.Cancel{}
	case codec.TypeMembers:
		return &codec.Members{}
	case codec.TypeJoin:
		return &codec.Join{}
	case codec.TypeLeave:
		return &codec.Leave{}
	case codec.TypePropose:
		return &codec.Propose{}
	case codec.TypeReadIndex:
		return &codec.ReadIndex{}
	}
	panic("sim: " + t.String() + " does not travel here")
}
