package consensus

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/logmesh/logmesh/codec"
)

// toProto turns entries into the library's. Data are shared, not copied.
func toProto(entries []codec.Entry) []*raftpb.Entry {
	type room struct { // an entry with what its fields point to: one allocation for all
		entry       raftpb.Entry
		term, index uint64
		typ         raftpb.EntryType
	}
	rooms := make([]room, len(entries))
	out := make([]*raftpb.Entry, len(entries))
	for i := range entries {
		r, e := &rooms[i], &entries[i]
		r.term, r.index, r.typ = uint64(e.Term), uint64(e.Index), raftpb.EntryNormal
		if e.Kind == codec.KindConfig {
			r.typ = raftpb.EntryConfChangeV2
		}
		r.entry.Term, r.entry.Index, r.entry.Type, r.entry.Data = &r.term, &r.index, &r.typ, e.Data
		out[i] = &r.entry
	}
	return out
}

// fromProto turns one of the library's entries into ours: a normal entry
// without data is a no-op. V1 configuration changes are refused; nobody writes
// them.
func fromProto(e *raftpb.Entry) (codec.Entry, error) {
	out := codec.Entry{Index: codec.Index(e.GetIndex()), Term: codec.Term(e.GetTerm()), Data: e.GetData()}
	switch {
	case e.GetType() == raftpb.EntryConfChangeV2:
		out.Kind = codec.KindConfig
	case e.GetType() != raftpb.EntryNormal:
		return out, fmt.Errorf("entry type %v is not used", e.GetType())
	case len(out.Data) > 0:
		out.Kind = codec.KindCommand
	}
	return out, nil
}

func fromProtos(entries []*raftpb.Entry) ([]codec.Entry, error) {
	out := make([]codec.Entry, len(entries))
	for i, e := range entries {
		var err error
		if out[i], err = fromProto(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// limit cuts entries so that their encoding stays within size bytes; one always
// stays.
func limit(entries []*raftpb.Entry, size uint64) []*raftpb.Entry {
	var sum uint64
	for i, e := range entries {
		sum += uint64(proto.Size(e))
		if i > 0 && sum > size {
			return entries[:i]
		}
	}
	return entries
}
