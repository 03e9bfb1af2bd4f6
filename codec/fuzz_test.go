package codec

import (
	"bytes"
	"errors"
	"testing"
)

// Every decoder has a fuzz target. The properties: no panic; an error is of the
// decoder's own kind; and what decodes has exactly one encoding, the input.
// Seeds stand in testdata/fuzz; the golden tests write them under -update.

// fuzzMessage is the target of one message type.
func fuzzMessage(f *testing.F, typ FrameType) {
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMessage(typ)
		if err := Decode(data, m); err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatalf("%v does not wrap ErrMessage", err)
			}
			return
		}
		again, err := Encode(m)
		sameBytes(t, data, again, err)
	})
}

func sameBytes(t *testing.T, data, again []byte, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("what was decoded cannot be encoded: %v", err)
	}
	if !bytes.Equal(data, again) {
		t.Fatalf("decoded\n%x\nencoded\n%x", data, again)
	}
}

func FuzzHello(f *testing.F)               { fuzzMessage(f, TypeHello) }
func FuzzProof(f *testing.F)               { fuzzMessage(f, TypeProof) }
func FuzzAccept(f *testing.F)              { fuzzMessage(f, TypeAccept) }
func FuzzRefuse(f *testing.F)              { fuzzMessage(f, TypeRefuse) }
func FuzzRaftOpen(f *testing.F)            { fuzzMessage(f, TypeRaftOpen) }
func FuzzRaftBatch(f *testing.F)           { fuzzMessage(f, TypeRaftBatch) }
func FuzzNotMe(f *testing.F)               { fuzzMessage(f, TypeNotMe) }
func FuzzRemovedAt(f *testing.F)           { fuzzMessage(f, TypeRemovedAt) }
func FuzzProgress(f *testing.F)            { fuzzMessage(f, TypeProgress) }
func FuzzOpen(f *testing.F)                { fuzzMessage(f, TypeOpen) }
func FuzzAvailabilityRequest(f *testing.F) { fuzzMessage(f, TypeAvailabilityRequest) }
func FuzzAvailabilityReply(f *testing.F)   { fuzzMessage(f, TypeAvailabilityReply) }
func FuzzFetch(f *testing.F)               { fuzzMessage(f, TypeFetch) }
func FuzzExtend(f *testing.F)              { fuzzMessage(f, TypeExtend) }
func FuzzTrim(f *testing.F)                { fuzzMessage(f, TypeTrim) }
func FuzzCancel(f *testing.F)              { fuzzMessage(f, TypeCancel) }
func FuzzLeaves(f *testing.F)              { fuzzMessage(f, TypeLeaves) }
func FuzzEnd(f *testing.F)                 { fuzzMessage(f, TypeEnd) }
func FuzzJoin(f *testing.F)                { fuzzMessage(f, TypeJoin) }
func FuzzLeave(f *testing.F)               { fuzzMessage(f, TypeLeave) }
func FuzzPropose(f *testing.F)             { fuzzMessage(f, TypePropose) }
func FuzzReadIndex(f *testing.F)           { fuzzMessage(f, TypeReadIndex) }
func FuzzMembers(f *testing.F)             { fuzzMessage(f, TypeMembers) }
func FuzzRemove(f *testing.F)              { fuzzMessage(f, TypeRemove) }
func FuzzPromote(f *testing.F)             { fuzzMessage(f, TypePromote) }
func FuzzTransfer(f *testing.F)            { fuzzMessage(f, TypeTransfer) }
func FuzzRetarget(f *testing.F)            { fuzzMessage(f, TypeRetarget) }
func FuzzAnswer(f *testing.F)              { fuzzMessage(f, TypeAnswer) }
func FuzzAnnouncement(f *testing.F)        { fuzzMessage(f, TypeAnnouncement) }

// FuzzBlocks holds the two decoders of Blocks against each other.
func FuzzBlocks(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var generic Blocks
		gerr := Decode(data, &generic)
		m, err := DecodeBlocks(data)
		if (err == nil) != (gerr == nil) {
			t.Fatalf("by hand: %v; by the library: %v", err, gerr)
		}
		if err != nil {
			return
		}
		if m.Lease != generic.Lease || m.Number != generic.Number || m.Zstd != generic.Zstd || !bytes.Equal(m.Data, generic.Data) {
			t.Fatalf("by hand: %+v; by the library: %+v", m, generic)
		}
		sameBytes(t, data, append(AppendBlocksHead(nil, m.Lease, m.Number, m.Zstd, len(m.Data)), m.Data...), nil)
	})
}

func FuzzBlock(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Block
		if err := DecodeBlock(data, &b); err != nil {
			if !errors.Is(err, ErrBlock) || b.Len() != 0 {
				t.Fatalf("%v, with %d entries", err, b.Len())
			}
			return
		}
		again, err := AppendBlock(nil, b.Entries())
		sameBytes(t, data, again, err)
	})
}

func FuzzCommand(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCommand(data)
		if err != nil {
			if !errors.Is(err, ErrCommand) {
				t.Fatalf("%v does not wrap ErrCommand", err)
			}
			return
		}
		sameBytes(t, data, AppendCommand(nil, c), nil)
	})
}

func FuzzConfigContext(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := DecodeConfigContext(data); err == nil {
			again, err := EncodeConfigContext(c)
			sameBytes(t, data, again, err)
		}
	})
}

func FuzzConfiguration(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := DecodeConfiguration(data); err == nil {
			again, err := EncodeConfiguration(c)
			sameBytes(t, data, again, err)
		}
	})
}

// FuzzFrame: what ReadFrame gives is what it read, and no more was read.
func FuzzFrame(f *testing.F) {
	var all []FrameType
	for t := range frameTypes {
		all = append(all, t)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		typ, body, err := ReadFrame(r, nil, all...)
		if err != nil {
			return
		}
		used := data[:len(data)-r.Len()]
		sameBytes(t, used, append(AppendFrameHead(nil, typ, len(body)), body...), nil)
		if len(body) > typ.Limit() {
			t.Fatalf("a %v of %d bytes", typ, len(body))
		}
	})
}

// FuzzProvedRoot: hashes and sizes that a peer sends never panic, and never
// change the slices they came in.
func FuzzProvedRoot(f *testing.F) {
	f.Add(uint64(70), uint64(32), []byte{1}, []byte{2, 3, 4, 5}, []byte{6, 7})
	f.Add(uint64(1<<64-1), uint64(1<<63), []byte{1}, []byte{2}, bytes.Repeat([]byte{3}, 63))
	f.Add(uint64(1<<56), uint64(1<<56-1), bytes.Repeat([]byte{1}, 56), []byte{2}, []byte{})
	f.Fuzz(func(t *testing.T, n, first uint64, left, leaves, right []byte) {
		l, m, r := spread(left), spread(leaves), spread(right)
		root, err := ProvedRoot(n, first, l, m, r)
		again, err2 := ProvedRoot(n, first, spread(left), spread(leaves), spread(right))
		if (err == nil) != (err2 == nil) || again != root {
			t.Fatalf("%v, then %v", err, err2)
		}
		for i, part := range [][]Hash{l, m, r} {
			for j, h := range part {
				if h != hashOf([][]byte{left, leaves, right}[i][j]) {
					t.Fatal("a slice was changed")
				}
			}
		}
		if tree, err := TreeFrom(n, l); err == nil {
			_ = tree.Root()
		}
	})
}

// spread makes each byte a hash.
func spread(b []byte) []Hash {
	out := make([]Hash, len(b))
	for i := range b {
		out[i] = hashOf(b[i])
	}
	return out
}
