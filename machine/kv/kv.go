package kv

import (
	"bytes"
	"strings"

	"github.com/tidwall/btree"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

// Signature is the signature of a KV.
const Signature = "kv/1"

// KV is the machine. Make it with New.
type KV struct {
	tree    btree.Map[string, record]
	sum     machine.MultisetHash // of all pairs
	element []byte               // scratch: the element of a pair
	page    []pair               // scratch: what a scan found
}

// New is a KV without keys.
func New() *KV { return &KV{} }

// record is what the tree holds for a key: the hash of the pair, then the value.
// It is never changed.
type record []byte

const hashLen = len(codec.Hash{})

func (r record) hash() codec.Hash { return codec.Hash(r[:hashLen]) }
func (r record) value() []byte    { return r[hashLen:] }

type pair struct {
	key    string
	record record
}

// Signature is "kv/1".
func (*KV) Signature() string { return Signature }

// Digest is the digest of all keys and values.
func (kv *KV) Digest() codec.Digest { return kv.sum.Sum() }

// Len is the number of keys.
func (kv *KV) Len() int { return kv.tree.Len() }

var resultFalse, resultTrue = []byte{simpleFalse}, []byte{simpleTrue}

// Apply applies commands (EncodeCommand).
func (kv *KV) Apply(b *machine.Batch) {
	for _, data := range b.Commands() {
		c, err := parseCommand(data)
		if err != nil {
			b.Reject(err.Error())
			continue
		}
		if kv.apply(c) {
			b.Result(resultTrue)
		} else {
			b.Result(resultFalse)
		}
	}
}

func (kv *KV) apply(c command) bool {
	switch c.op {
	case opPut:
		return kv.put(c.key, c.value)
	case opDelete:
		return kv.remove(c.key)
	default:
		return kv.swap(c)
	}
}

// put reports whether the key existed.
func (kv *KV) put(key, value []byte) bool {
	kv.element = appendBytes(appendText(kv.element[:0], key), value)
	hash := machine.ElementHash(kv.element)
	r := make(record, hashLen+len(value))
	copy(r, hash[:])
	copy(r[hashLen:], value)
	old, existed := kv.tree.Set(string(key), r)
	if existed {
		kv.sum.RemoveHash(old.hash())
	}
	kv.sum.AddHash(hash)
	return existed
}

// remove reports whether the key existed.
func (kv *KV) remove(key []byte) bool {
	old, existed := kv.tree.Delete(string(key))
	if existed {
		kv.sum.RemoveHash(old.hash())
	}
	return existed
}

// swap reports whether the key had the old value.
func (kv *KV) swap(c command) bool {
	now, exists := kv.tree.Get(string(c.key))
	if exists != c.hasOld || exists && !bytes.Equal(now.value(), c.old) {
		return false
	}
	if c.hasValue {
		kv.put(c.key, c.value)
	} else {
		kv.remove(c.key)
	}
	return true
}

// Query answers queries (EncodeQuery).
func (kv *KV) Query(dst, data []byte) ([]byte, error) {
	q, err := parseQuery(data)
	if err != nil {
		return dst, err
	}
	if q.op == queryGet {
		r, found := kv.tree.Get(string(q.key))
		if !found {
			return append(dst, simpleNull), nil
		}
		return appendBytes(dst, r.value()), nil
	}
	return kv.scan(dst, q), nil
}

func (kv *KV) scan(dst []byte, q query) []byte {
	prefix, after := string(q.prefix), string(q.after)
	size, more := 0, false
	kv.page = kv.page[:0]
	kv.tree.Ascend(max(prefix, after), func(key string, r record) bool {
		switch {
		case !strings.HasPrefix(key, prefix):
			return false
		case key == after:
			return true
		}
		p := pair{key: key, record: r}
		size += p.size(q.keysOnly)
		if len(kv.page) > 0 && (size > ScanBytes-pageHead || q.limit > 0 && uint64(len(kv.page)) == q.limit) {
			more = true
			return false
		}
		kv.page = append(kv.page, p)
		return true
	})
	dst = appendPage(dst, kv.page, more, q.keysOnly)
	clear(kv.page) // lets go of the values
	return dst
}

// pageHead bounds what stands before a page's items, in bytes.
const pageHead = 1 + 1 + 9

// size bounds what the pair takes in a page, in bytes.
func (p pair) size(keysOnly bool) int {
	if keysOnly {
		return pairSize(len(p.key), 0)
	}
	return pairSize(len(p.key), len(p.record.value()))
}
