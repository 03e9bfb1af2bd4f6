// Package apitest has a key-value map in memory that stands for a node's in
// tests of the API and of the command line.
package apitest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
)

// Hook runs at the start of each call, with the name of the method in lower case
// and the key, and may fail it.
type Hook func(ctx context.Context, method, key string) error

// Store is an api.Store. The zero value is empty and ready.
type Store struct {
	mu     sync.Mutex
	before Hook
	values map[string][]byte
	index  codec.Index
}

// Before makes hook run from now on; nil: none.
func (s *Store) Before(hook Hook) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = hook
	return s
}

func (s *Store) enter(ctx context.Context, method, key string) error {
	s.mu.Lock()
	hook := s.before
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx, method, key)
}

// Get reads a key.
func (s *Store) Get(ctx context.Context, key string, _ api.Read) (api.Value, error) {
	if err := s.enter(ctx, "get", key); err != nil {
		return api.Value{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	return api.Value{Found: ok, Data: v, Index: s.index}, nil
}

// Put writes a key.
func (s *Store) Put(ctx context.Context, key string, value []byte) (api.Written, error) {
	if err := s.enter(ctx, "put", key); err != nil {
		return api.Written{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(key, append([]byte{}, value...)), nil
}

// Delete removes a key.
func (s *Store) Delete(ctx context.Context, key string) (api.Written, error) {
	if err := s.enter(ctx, "delete", key); err != nil {
		return api.Written{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write(key, nil), nil
}

// Swap compares and swaps.
func (s *Store) Swap(ctx context.Context, key string, swap api.Swap) (api.Written, error) {
	if err := s.enter(ctx, "swap", key); err != nil {
		return api.Written{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	if ok != (swap.Old != nil) || string(v) != string(swap.Old) {
		return api.Written{}, api.ErrSwapped(key)
	}
	return s.write(key, swap.New), nil
}

// write sets a key, or removes it if value is nil.
func (s *Store) write(key string, value []byte) api.Written {
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	_, existed := s.values[key]
	s.index++
	if value == nil {
		delete(s.values, key)
	} else {
		s.values[key] = append([]byte{}, value...)
	}
	return api.Written{Index: s.index, Existed: existed}
}

// Scan reads a page.
func (s *Store) Scan(ctx context.Context, q api.ScanQuery) (api.Page, error) {
	if err := s.enter(ctx, "scan", q.Prefix); err != nil {
		return api.Page{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	page := api.Page{Index: s.index}
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if !strings.HasPrefix(key, q.Prefix) || key <= q.After {
			continue
		}
		if len(page.Items) == q.Limit {
			page.More = true
			break
		}
		item := api.Item{Key: key}
		if !q.KeysOnly {
			item.Value = s.values[key]
		}
		page.Items = append(page.Items, item)
	}
	return page, nil
}
