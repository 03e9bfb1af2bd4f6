package codec

import (
	"errors"
	"fmt"
)

// The block rule: a block closes after its BlockEntries-th entry, or at the
// entry with which its payload reaches BlockBytes, whichever is first. Blocks
// are thereby a pure function of the log.
const (
	BlockEntries = 128
	BlockBytes   = 256 << 10
)

// MaxBlock bounds the encoding of a block, in bytes: a payload just short of
// BlockBytes, one entry of the greatest size, and the columns.
const MaxBlock = BlockBytes + MaxEntryData + 8<<10

// BlockFill applies the block rule to entries as they come. The zero value is
// an empty block.
type BlockFill struct {
	Entries int
	Bytes   int
}

// Add counts one entry with dataLen bytes and reports whether it closes the
// block; the next Add then begins a new one.
func (f *BlockFill) Add(dataLen int) bool {
	f.Entries++
	f.Bytes += dataLen
	if f.Entries < BlockEntries && f.Bytes < BlockBytes {
		return false
	}
	*f = BlockFill{}
	return true
}

// ErrBlock is wrapped by every error of DecodeBlock.
var ErrBlock = errors.New("bad block")

func blockErr(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBlock, fmt.Sprintf(format, args...))
}

// Keys of the block's CBOR map, in the order in which they must stand.
const (
	blockKeyFirst   = 1
	blockKeyTerms   = 2
	blockKeyKinds   = 3
	blockKeyLengths = 4
	blockKeyPayload = 5
)

// AppendBlock appends the canonical encoding of a whole block to dst. The
// entries must be consecutive, and the last one, and no earlier one, must close
// the block by the block rule.
func AppendBlock(dst []byte, entries []Entry) ([]byte, error) {
	payload, err := checkBlock(entries)
	if err != nil {
		return dst, err
	}
	dst = appendCBORHead(dst, cborMap, 5)
	dst = appendCBORHead(dst, cborUint, blockKeyFirst)
	dst = appendCBORHead(dst, cborUint, uint64(entries[0].Index))
	dst = appendCBORHead(dst, cborUint, blockKeyTerms)
	dst = appendRuns(dst, entries, func(e *Entry) uint64 { return uint64(e.Term) })
	dst = appendCBORHead(dst, cborUint, blockKeyKinds)
	dst = appendRuns(dst, entries, func(e *Entry) uint64 { return uint64(e.Kind) })
	dst = appendCBORHead(dst, cborUint, blockKeyLengths)
	dst = appendCBORHead(dst, cborArray, uint64(len(entries)))
	for i := range entries {
		dst = appendCBORHead(dst, cborUint, uint64(len(entries[i].Data)))
	}
	dst = appendCBORHead(dst, cborUint, blockKeyPayload)
	dst = appendCBORHead(dst, cborBytes, uint64(payload))
	for i := range entries {
		dst = append(dst, entries[i].Data...)
	}
	return dst, nil
}

// checkBlock checks that entries are one whole block, and returns the size of
// their payload.
func checkBlock(entries []Entry) (payload int, err error) {
	if len(entries) == 0 {
		return 0, blockErr("no entries")
	}
	if first := entries[0].Index; first == 0 || first > maxIndex {
		return 0, blockErr("first index %d", first)
	}
	var fill BlockFill
	for i := range entries {
		e := &entries[i]
		if e.Index != entries[0].Index+Index(i) {
			return 0, blockErr("index %d follows %d", e.Index, entries[i-1].Index)
		}
		if e.Term == 0 || i > 0 && e.Term < entries[i-1].Term {
			return 0, blockErr("term %d at index %d", e.Term, e.Index)
		}
		if err := checkEntry(e.Kind, len(e.Data)); err != nil {
			return 0, blockErr("index %d: %v", e.Index, err)
		}
		payload += len(e.Data)
		if closed := fill.Add(len(e.Data)); closed != (i == len(entries)-1) {
			return 0, blockErr("%d entries from index %d are not one whole block", len(entries), entries[0].Index)
		}
	}
	return payload, nil
}

func checkEntry(k Kind, dataLen int) error {
	switch {
	case k > KindConfig:
		return fmt.Errorf("unknown %v", k)
	case k == KindNoop && dataLen != 0:
		return fmt.Errorf("a no-op with %d bytes", dataLen)
	case k != KindNoop && dataLen == 0:
		return fmt.Errorf("a %v without data", k)
	case dataLen > MaxEntryData:
		return fmt.Errorf("%d bytes, at most %d are allowed", dataLen, MaxEntryData)
	}
	return nil
}

// CheckEntry reports what is wrong with an entry by itself: its kind, or the
// size of its data.
func CheckEntry(e Entry) error { return checkEntry(e.Kind, len(e.Data)) }

// appendRuns appends the runs of equal values of a column as a flat array
// [count, value, count, value, …].
func appendRuns(dst []byte, entries []Entry, of func(*Entry) uint64) []byte {
	runs := 1
	for i := 1; i < len(entries); i++ {
		if of(&entries[i]) != of(&entries[i-1]) {
			runs++
		}
	}
	dst = appendCBORHead(dst, cborArray, uint64(2*runs))
	for start := 0; start < len(entries); {
		end := start + 1
		for end < len(entries) && of(&entries[end]) == of(&entries[start]) {
			end++
		}
		dst = appendCBORHead(dst, cborUint, uint64(end-start))
		dst = appendCBORHead(dst, cborUint, of(&entries[start]))
		start = end
	}
	return dst
}

// Block is a decoded block: a view of the bytes it was decoded from, which must
// not change while it is used. A Block can be decoded into again and again; it
// keeps its own memory.
type Block struct {
	entries             []Entry
	size                int
	terms, kinds, sizes []uint64 // the columns of the last decode
}

// Len is the number of entries.
func (b *Block) Len() int { return len(b.entries) }

// Entries are the block's entries in order. Their data are views of the bytes
// that were decoded; the slice is valid until the next decode.
func (b *Block) Entries() []Entry { return b.entries }

// First is the index of the first entry.
func (b *Block) First() Index { return b.entries[0].Index }

// Last is the position of the last entry.
func (b *Block) Last() Cursor { return b.entries[len(b.entries)-1].Cursor() }

// Size is the length of the encoding in bytes.
func (b *Block) Size() int { return b.size }

// HasConfig reports whether any entry is a configuration.
func (b *Block) HasConfig() bool {
	for i := 1; i < len(b.kinds); i += 2 {
		if Kind(b.kinds[i]) == KindConfig {
			return true
		}
	}
	return false
}

// DecodeBlock decodes the canonical encoding of one whole block into b. Any
// other bytes are an error that wraps ErrBlock; b is then empty. It allocates
// only to grow b.
func DecodeBlock(data []byte, b *Block) error {
	b.entries, b.kinds, b.size = b.entries[:0], b.kinds[:0], 0
	if len(data) > MaxBlock {
		return blockErr("%d bytes, at most %d are allowed", len(data), MaxBlock)
	}
	if err := b.decode(data); err != nil {
		b.entries, b.kinds = b.entries[:0], b.kinds[:0]
		return err
	}
	b.size = len(data)
	return nil
}

func (b *Block) decode(data []byte) error {
	r := cborReader{rest: data}
	r.expect(cborMap, 5)
	r.expect(cborUint, blockKeyFirst)
	first := r.uint()
	r.expect(cborUint, blockKeyTerms)
	b.terms = r.uints(b.terms[:0], 2*BlockEntries)
	r.expect(cborUint, blockKeyKinds)
	b.kinds = r.uints(b.kinds[:0], 2*BlockEntries)
	r.expect(cborUint, blockKeyLengths)
	b.sizes = r.uints(b.sizes[:0], BlockEntries)
	r.expect(cborUint, blockKeyPayload)
	payload := r.bytes(MaxBlock)
	switch {
	case r.err != nil:
		return blockErr("%v", r.err)
	case len(r.rest) != 0:
		return blockErr("%d bytes after the end", len(r.rest))
	case first == 0 || first > maxIndex:
		return blockErr("first index %d", first)
	}
	return b.fill(Index(first), payload)
}

// fill turns the columns into entries and checks every rule of AppendBlock.
func (b *Block) fill(first Index, payload []byte) error {
	terms, kinds := runs{rest: b.terms}, runs{rest: b.kinds}
	var fill BlockFill
	for i, size := range b.sizes {
		term, ok := terms.next()
		if !ok || term == 0 || i > 0 && Term(term) < b.entries[i-1].Term {
			return blockErr("the runs of terms do not fit at entry %d", i)
		}
		kind, ok := kinds.next()
		if !ok || kind > uint64(KindConfig) {
			return blockErr("the runs of kinds do not fit at entry %d", i)
		}
		if size > uint64(len(payload)) {
			return blockErr("the payload ends in entry %d", i)
		}
		if err := checkEntry(Kind(kind), int(size)); err != nil {
			return blockErr("entry %d: %v", i, err)
		}
		if closed := fill.Add(int(size)); closed != (i == len(b.sizes)-1) {
			return blockErr("%d entries are not one whole block", len(b.sizes))
		}
		b.entries = append(b.entries, Entry{
			Index: first + Index(i), Term: Term(term), Kind: Kind(kind), Data: payload[:size:size],
		})
		payload = payload[size:]
	}
	switch {
	case len(b.entries) == 0:
		return blockErr("no entries")
	case len(payload) != 0:
		return blockErr("%d bytes of payload belong to no entry", len(payload))
	case !terms.done() || !kinds.done():
		return blockErr("runs go on after the last entry")
	}
	return nil
}

// runs reads a column of [count, value, …]. Equal neighbours and empty runs are
// not canonical: next then reports false.
type runs struct {
	rest  []uint64
	left  uint64
	value uint64
	begun bool
}

func (r *runs) next() (value uint64, ok bool) {
	if r.left == 0 {
		if len(r.rest) < 2 || r.rest[0] == 0 || r.begun && r.rest[1] == r.value {
			return 0, false
		}
		r.left, r.value, r.begun = r.rest[0], r.rest[1], true
		r.rest = r.rest[2:]
	}
	r.left--
	return r.value, true
}

func (r *runs) done() bool { return r.left == 0 && len(r.rest) == 0 }
