package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/machine/kv"
)

// logSpec says what a log holds: a founding, the other voters' admissions, the
// opening of one client session, Entries commands in it, and no-ops that fill the
// last block. Everything is of term 1. Equal specs give equal bytes.
type logSpec struct {
	Entries int
	Size    int    // bytes of a command's payload
	Machine string // whose commands they are
	Keys    int    // of kv
	Seed    uint64
	Voters  []voter
}

// voter is a member that the log admits.
type voter struct {
	Peer   codec.PeerID
	RaftID codec.RaftID
	Addrs  []string
}

// underWay is how many commands of its session a client had not heard the result
// of when it sent the next.
const underWay = 64

// logWriter makes the blocks of a log, one after the other.
type logWriter struct {
	spec    logSpec
	command func(dst []byte) []byte // appends the next payload
	session codec.SessionID
	next    codec.Index
	seq     uint64
	entries []codec.Entry // of the block that is filled
	data    []byte        // of those
	payload []byte        // scratch
	fill    codec.BlockFill
	encoded []byte
}

func newLogWriter(spec logSpec) (*logWriter, error) {
	w := &logWriter{spec: spec, next: 1}
	rng := rand.NewPCG(spec.Seed, 0)
	if spec.Machine == MachineKV {
		put, err := puts(rng, spec.Keys, spec.Size)
		w.command = put
		return w, err
	}
	w.command = func(dst []byte) []byte { return appendRandom(dst, rng, spec.Size) }
	return w, nil
}

// appendRandom appends n random bytes.
func appendRandom(dst []byte, rng *rand.PCG, n int) []byte {
	for ; n >= 8; n -= 8 {
		dst = binary.LittleEndian.AppendUint64(dst, rng.Uint64())
	}
	if n > 0 {
		var rest [8]byte
		binary.LittleEndian.PutUint64(rest[:], rng.Uint64())
		dst = append(dst, rest[:n]...)
	}
	return dst
}

// puts makes commands of at most size bytes each that put random values under one of
// keys keys. A command may be a byte smaller, where the length of its encoding jumps.
func puts(rng *rand.PCG, keys, size int) (func(dst []byte) []byte, error) {
	command := func(key uint64, value []byte) []byte {
		c, err := kv.EncodeCommand(kv.Put{Key: fmt.Sprintf("key/%08d", key), Value: value})
		if err != nil {
			panic("kv command: " + err.Error()) // sizes are checked below
		}
		return c
	}
	room := size - len(command(0, nil))
	for room > 0 && len(command(0, make([]byte, room))) > size {
		room--
	}
	if room < 1 {
		return nil, fmt.Errorf("a kv command of %d bytes has no room for a value; it takes at least %d", size, size-room+1)
	}
	value := make([]byte, 0, room)
	return func(dst []byte) []byte {
		value = appendRandom(value[:0], rng, room)
		return append(dst, command(rng.Uint64()%uint64(keys), value)...)
	}, nil
}

// block is the next block's encoding, valid until the next call; nil after the last.
func (w *logWriter) block() ([]byte, error) {
	w.entries, w.data = w.entries[:0], w.data[:0]
	for {
		e, err := w.entry()
		if err != nil {
			return nil, err
		}
		if e.Kind == codec.KindNoop && len(w.entries) == 0 {
			return nil, nil // all is written
		}
		w.entries = append(w.entries, e)
		w.next++
		if w.fill.Add(len(e.Data)) {
			break
		}
	}
	var err error
	w.encoded, err = codec.AppendBlock(w.encoded[:0], w.entries)
	return w.encoded, err
}

// entry makes the entry at next.
func (w *logWriter) entry() (codec.Entry, error) {
	voters := codec.Index(len(w.spec.Voters))
	switch {
	case w.next == 1:
		return w.founding()
	case w.next <= voters:
		v := w.spec.Voters[w.next-1]
		return consensus.Admission(w.next, v.RaftID, codec.ConfigContext{Peer: v.Peer, Role: codec.RoleVoter, Addrs: v.Addrs})
	case w.next == voters+1:
		w.session = codec.SessionID(w.next)
		return w.envelope(codec.Command{Payload: make([]byte, codec.OpenNonce)}), nil
	case w.seq < uint64(w.spec.Entries):
		w.seq++
		w.payload = w.command(w.payload[:0])
		return w.envelope(codec.Command{
			Session: w.session, Seq: w.seq, Low: max(w.seq, underWay) - underWay + 1, Payload: w.payload,
		}), nil
	}
	return codec.Entry{Index: w.next, Term: 1, Kind: codec.KindNoop}, nil
}

func (w *logWriter) founding() (codec.Entry, error) {
	v := w.spec.Voters[0]
	nonce := make([]byte, codec.FoundingNonce)
	binary.BigEndian.PutUint64(nonce, w.spec.Seed)
	return consensus.Founding(v.RaftID, codec.ConfigContext{
		Peer: v.Peer, Addrs: v.Addrs, Nonce: nonce, Target: len(w.spec.Voters),
	})
}

func (w *logWriter) envelope(c codec.Command) codec.Entry {
	from := len(w.data)
	w.data = codec.AppendCommand(w.data, c)
	return codec.Entry{Index: w.next, Term: 1, Kind: codec.KindCommand, Data: w.data[from:len(w.data):len(w.data)]}
}

// ledgerStep is how many bytes of blocks go into one write of a ledger.
const ledgerStep = 4 << 20

// writeLog makes the log and hands it to release in steps, as Ledger.Release takes
// it; what release is given stays its own. bytes is the size of all blocks.
func writeLog(spec logSpec, release func(first uint64, blocks [][]byte) error) (bytes int64, err error) {
	w, err := newLogWriter(spec)
	if err != nil {
		return 0, err
	}
	var first uint64
	var blocks [][]byte
	held := 0
	for {
		data, err := w.block()
		if err != nil {
			return 0, fmt.Errorf("make the log: %w", err)
		}
		if held >= ledgerStep || data == nil && held > 0 {
			if err := release(first, blocks); err != nil {
				return 0, err
			}
			first, blocks, held = first+uint64(len(blocks)), nil, 0
		}
		if data == nil {
			return bytes, nil
		}
		blocks = append(blocks, append([]byte(nil), data...))
		held, bytes = held+len(data), bytes+int64(len(data))
	}
}
