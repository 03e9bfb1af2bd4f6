package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/logmesh/logmesh/codec"
)

// Every value except blocks and tree nodes ends in a CRC-32C of its key and what
// stands before it, so that a record is believed only under the key it was
// written for. Blocks and nodes are checked by hashes instead.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

func sumOf(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}

// withSum appends the checksum to body.
func withSum(key, body []byte) []byte {
	return binary.BigEndian.AppendUint32(body, sumOf(key, body))
}

var (
	errSum  = errors.New("its checksum does not match")
	errSize = errors.New("it has a wrong size")
	errGone = errors.New("it is missing")
	errLeaf = errors.New("it does not match its leaf in the block tree")
)

// bodyOf checks and removes the checksum.
func bodyOf(key, value []byte) ([]byte, error) {
	if len(value) < sumSize {
		return nil, errSize
	}
	body := value[: len(value)-sumSize : len(value)-sumSize]
	if binary.BigEndian.Uint32(value[len(body):]) != sumOf(key, body) {
		return nil, errSum
	}
	return body, nil
}

// numbersBody is the body of a record that consists of numbers only.
func numbersBody(numbers ...uint64) []byte {
	body := make([]byte, 0, 8*len(numbers)+sumSize)
	for _, n := range numbers {
		body = binary.BigEndian.AppendUint64(body, n)
	}
	return body
}

// readNumbers reads exactly count numbers.
func readNumbers(body []byte, count int) ([]uint64, error) {
	if len(body) != 8*count {
		return nil, errSize
	}
	out := make([]uint64, count)
	for i := range out {
		out[i] = binary.BigEndian.Uint64(body[8*i:])
	}
	return out, nil
}

func hardBody(h codec.HardState) []byte {
	return numbersBody(uint64(h.Term), uint64(h.Vote), uint64(h.Commit))
}

func readHard(body []byte) (codec.HardState, error) {
	n, err := readNumbers(body, 3)
	if err != nil {
		return codec.HardState{}, err
	}
	return codec.HardState{Term: codec.Term(n[0]), Vote: codec.RaftID(n[1]), Commit: codec.Index(n[2])}, nil
}

// bounds are where the raft view begins and where its tail begins.
type bounds struct {
	prev   codec.Cursor // just before the first entry that Raft sees
	sealed codec.Cursor // last entry of the last block that the view sealed
	blocks uint64       // how many blocks end at or before sealed
}

func boundsBody(b bounds) []byte {
	return numbersBody(uint64(b.prev.Index), uint64(b.prev.Term), uint64(b.sealed.Index), uint64(b.sealed.Term), b.blocks)
}

func readBounds(body []byte) (bounds, error) {
	n, err := readNumbers(body, 5)
	if err != nil {
		return bounds{}, err
	}
	return bounds{prev: cursor(n[0], n[1]), sealed: cursor(n[2], n[3]), blocks: n[4]}, nil
}

func cursor(index, term uint64) codec.Cursor {
	return codec.Cursor{Index: codec.Index(index), Term: codec.Term(term)}
}

// span says where a block lies in the log.
type span struct {
	first codec.Index
	last  codec.Cursor
	size  uint64 // of the encoding, in bytes
}

func spanBody(s span) []byte {
	return numbersBody(uint64(s.first), uint64(s.last.Index), uint64(s.last.Term), s.size)
}

func readSpan(body []byte) (span, error) {
	n, err := readNumbers(body, 4)
	if err != nil {
		return span{}, err
	}
	return span{first: codec.Index(n[0]), last: cursor(n[1], n[2]), size: n[3]}, nil
}

func headBody(last codec.Cursor, h codec.Head) []byte {
	return append(numbersBody(h.Blocks, uint64(last.Index), uint64(last.Term)), h.Root[:]...)
}

func readHead(body []byte) (last codec.Cursor, h codec.Head, err error) {
	if len(body) != 3*8+len(h.Root) {
		return last, h, errSize
	}
	n, err := readNumbers(body[:3*8], 3)
	if err != nil {
		return last, h, err
	}
	last = cursor(n[1], n[2])
	return last, codec.Head{Blocks: n[0], Last: last.Index, Root: codec.Hash(body[3*8:])}, nil
}

func appliedBody(i codec.Index, c codec.Configuration) ([]byte, error) {
	config, err := codec.EncodeConfiguration(c)
	if err != nil {
		return nil, fmt.Errorf("configuration at index %d: %w", i, err)
	}
	return append(numbersBody(uint64(i)), config...), nil
}

func readApplied(body []byte) (codec.Index, codec.Configuration, error) {
	if len(body) < 8 {
		return 0, codec.Configuration{}, errSize
	}
	c, err := codec.DecodeConfiguration(body[8:])
	return codec.Index(binary.BigEndian.Uint64(body)), c, err
}

// owner is whose ledger this is.
type owner struct {
	group codec.GroupID
	salt  [16]byte
	peer  codec.PeerID
}

func ownerBody(o owner) []byte {
	body := append([]byte(nil), o.group[:]...)
	body = append(body, o.salt[:]...)
	return append(body, o.peer...)
}

func readOwner(body []byte) (owner, error) {
	var o owner
	if len(body) <= len(o.group)+len(o.salt) {
		return o, errSize
	}
	body = body[copy(o.group[:], body):]
	o.peer = codec.PeerID(body[copy(o.salt[:], body):])
	return o, nil
}

// entryHead is what stands before an entry's data: term and kind.
const entryHead = 8 + 1

func entrySize(e codec.Entry) int { return entryHead + len(e.Data) + sumSize }

// putEntry writes the record of e into value, which has entrySize bytes.
func putEntry(value, key []byte, e codec.Entry) {
	binary.BigEndian.PutUint64(value, uint64(e.Term))
	value[8] = byte(e.Kind)
	body := value[: entryHead+len(e.Data) : len(value)]
	copy(body[entryHead:], e.Data)
	withSum(key, body)
}

// readEntry reads the record of entry i; its data are a view of body.
func readEntry(i codec.Index, body []byte) (codec.Entry, error) {
	if len(body) < entryHead {
		return codec.Entry{}, errSize
	}
	e := codec.Entry{Index: i, Term: codec.Term(binary.BigEndian.Uint64(body)), Kind: codec.Kind(body[8]), Data: body[entryHead:]}
	if e.Term == 0 {
		return e, errors.New("it has no term")
	}
	return e, codec.CheckEntry(e)
}
