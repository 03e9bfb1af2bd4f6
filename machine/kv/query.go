package kv

import (
	"errors"
	"fmt"
)

// Query is a Get or a Scan.
type Query interface {
	query() (query, error)
}

// The queries.
type (
	// Get asks for the value of a key. Its answer is a GetAnswer.
	Get struct {
		Key string
	}

	// Scan asks for the keys that begin with Prefix and come after After, in
	// order. Its answer is a ScanAnswer, a page: at most Limit items (0: no
	// limit) and ScanBytes bytes. For the next page, After is the last key of
	// this one.
	Scan struct {
		Prefix   string // UTF-8; empty: all keys
		After    string // a key; empty: from the first on
		Limit    int
		KeysOnly bool // without the values
	}
)

// ScanBytes is the most that a page of a scan may have, in bytes of its
// encoding; a single item that has more is a page by itself.
const ScanBytes = 1 << 20

// Codes of the queries.
const (
	queryGet  = 1
	queryScan = 2
)

// query is any query, as views of its encoding.
type query struct {
	op            uint64
	key           []byte
	prefix, after []byte
	limit         uint64
	keysOnly      bool
}

func (q Get) query() (query, error) { return query{op: queryGet, key: []byte(q.Key)}, nil }

func (q Scan) query() (query, error) {
	if q.Limit < 0 {
		return query{}, fmt.Errorf("a limit of %d items", q.Limit)
	}
	return query{
		op: queryScan, prefix: []byte(q.Prefix), after: []byte(q.After),
		limit: uint64(q.Limit), keysOnly: q.KeysOnly,
	}, nil
}

// EncodeQuery is the encoding of q. It fails on what the machine would refuse.
func EncodeQuery(q Query) ([]byte, error) {
	raw, err := q.query()
	if err != nil {
		return nil, err
	}
	data := raw.append(nil)
	_, err = parseQuery(data)
	return data, err
}

func (q query) append(dst []byte) []byte {
	if q.op == queryGet {
		dst = appendHead(dst, majorArray, 2)
		dst = appendHead(dst, majorUint, queryGet)
		return appendText(dst, q.key)
	}
	dst = appendHead(dst, majorArray, 5)
	dst = appendHead(dst, majorUint, queryScan)
	dst = appendText(dst, q.prefix)
	dst = appendText(dst, q.after)
	dst = appendHead(dst, majorUint, q.limit)
	return appendBool(dst, q.keysOnly)
}

// DecodeQuery reads what EncodeQuery wrote.
func DecodeQuery(data []byte) (Query, error) {
	q, err := parseQuery(data)
	if err != nil {
		return nil, err
	}
	if q.op == queryGet {
		return Get{Key: string(q.key)}, nil
	}
	return Scan{Prefix: string(q.prefix), After: string(q.after), Limit: int(q.limit), KeysOnly: q.keysOnly}, nil
}

// maxLimit bounds the limit of a scan, so that it fits every int.
const maxLimit = 1<<31 - 1

var errLimit = errors.New("the limit of a scan is too large")

func parseQuery(data []byte) (q query, err error) {
	r := reader{rest: data}
	size := r.head(majorArray)
	q.op = r.head(majorUint)
	if r.err != nil {
		return query{}, r.err
	}
	switch {
	case q.op == queryGet && size == 2:
		q.key = r.key()
	case q.op == queryScan && size == 5:
		q.prefix = r.part()
		q.after = r.part()
		if q.limit = r.head(majorUint); q.limit > maxLimit {
			r.fail(errLimit)
		}
		q.keysOnly = r.bool()
	default:
		return query{}, errOperation
	}
	if err := r.end(); err != nil {
		return query{}, err
	}
	return q, nil
}
