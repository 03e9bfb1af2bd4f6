package api

import (
	"context"
	"fmt"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/kv"
)

// Group is what is needed of a logmesh.Group.
type Group interface {
	Execute(ctx context.Context, command []byte) (logmesh.Result, error)
	Query(ctx context.Context, query []byte, at logmesh.Read) (logmesh.Answer, error)
}

// groupStore is the map of a group that runs machine kv.
type groupStore struct{ group Group }

// NewStore makes a Store of a group whose machine is machine/kv.
func NewStore(g Group) Store { return groupStore{g} }

func (s groupStore) execute(ctx context.Context, c kv.Command) (logmesh.Result, error) {
	data, err := kv.EncodeCommand(c)
	if err != nil {
		return logmesh.Result{}, fail(CodeTooLarge, "", "%v", err)
	}
	return s.group.Execute(ctx, data)
}

func (s groupStore) query(ctx context.Context, q kv.Query, read Read) (logmesh.Answer, error) {
	data, err := kv.EncodeQuery(q)
	if err != nil {
		return logmesh.Answer{}, fail(CodeBadRequest, "", "%v", err)
	}
	at := logmesh.Strong
	if read == Local {
		at = logmesh.Local
	}
	return s.group.Query(ctx, data, at)
}

func (s groupStore) Get(ctx context.Context, key string, read Read) (Value, error) {
	a, err := s.query(ctx, kv.Get{Key: key}, read)
	if err != nil {
		return Value{}, err
	}
	v, err := kv.DecodeGetAnswer(a.Data)
	if err != nil {
		return Value{}, fmt.Errorf("read the machine's answer: %w", err)
	}
	return Value{Found: v.Found, Data: v.Value, Index: a.Index}, nil
}

func (s groupStore) Put(ctx context.Context, key string, value []byte) (Written, error) {
	r, err := s.execute(ctx, kv.Put{Key: key, Value: value})
	if err != nil {
		return Written{}, err
	}
	v, err := kv.DecodePutResult(r.Data)
	if err != nil {
		return Written{}, fmt.Errorf("read the machine's result: %w", err)
	}
	return Written{Index: r.Index, Existed: v.Existed}, nil
}

func (s groupStore) Delete(ctx context.Context, key string) (Written, error) {
	r, err := s.execute(ctx, kv.Delete{Key: key})
	if err != nil {
		return Written{}, err
	}
	v, err := kv.DecodeDeleteResult(r.Data)
	if err != nil {
		return Written{}, fmt.Errorf("read the machine's result: %w", err)
	}
	return Written{Index: r.Index, Existed: v.Existed}, nil
}

func (s groupStore) Swap(ctx context.Context, key string, swap Swap) (Written, error) {
	r, err := s.execute(ctx, kv.CAS{
		Key: key,
		Old: swap.Old, OldExists: swap.Old != nil,
		New: swap.New, NewExists: swap.New != nil,
	})
	if err != nil {
		return Written{}, err
	}
	v, err := kv.DecodeCASResult(r.Data)
	if err != nil {
		return Written{}, fmt.Errorf("read the machine's result: %w", err)
	}
	if !v.Swapped {
		return Written{}, ErrSwapped(key)
	}
	return Written{Index: r.Index, Existed: swap.Old != nil}, nil
}

func (s groupStore) Scan(ctx context.Context, q ScanQuery) (Page, error) {
	a, err := s.query(ctx, kv.Scan{Prefix: q.Prefix, After: q.After, Limit: q.Limit, KeysOnly: q.KeysOnly}, q.Read)
	if err != nil {
		return Page{}, err
	}
	v, err := kv.DecodeScanAnswer(a.Data)
	if err != nil {
		return Page{}, fmt.Errorf("read the machine's answer: %w", err)
	}
	page := Page{Items: make([]Item, len(v.Items)), More: v.More, Index: a.Index}
	for i, item := range v.Items {
		page.Items[i] = Item{Key: item.Key, Value: item.Value}
	}
	return page, nil
}
