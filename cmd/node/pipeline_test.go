package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/internal/api"
	"github.com/logmesh/logmesh/internal/api/apitest"
)

// inFlight counts what a pipeline has in flight at a store.
type inFlight struct {
	mu        sync.Mutex
	now, most int
	keys      []string // in the order in which writes began
}

func (c *inFlight) store(took time.Duration) *apitest.Store {
	return new(apitest.Store).Before(func(ctx context.Context, _, key string) error {
		c.mu.Lock()
		c.now++
		c.most = max(c.most, c.now)
		c.keys = append(c.keys, key)
		c.mu.Unlock()
		time.Sleep(took) // in a bubble
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
		return ctx.Err()
	})
}

func TestPipelineFillsAndStopsAtItsLimits(t *testing.T) {
	for _, c := range []struct {
		name               string
		size, writes, most int
	}{
		{"requests", 10, 200, api.MaxPipelined},
		{"bytes", api.MaxValue, 20, api.MaxPipelinedBytes / api.MaxValue},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var count inFlight
				p := newPipeline(t.Context(), count.store(time.Second), 0)
				value := make([]byte, c.size)
				for i := range c.writes {
					require.NoError(t, p.put(fmt.Sprint(i), value))
				}
				require.NoError(t, p.wait())
				require.Equal(t, c.most, count.most)
				require.Equal(t, int64(c.writes), p.keys.Load())
				require.Equal(t, int64(c.writes*c.size), p.sent.Load())
			})
		})
	}
}

// Writes of one key keep their order, so the last of a file of records stays.
func TestPipelineKeepsTheOrderOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count inFlight
		store := count.store(time.Second)
		p := newPipeline(t.Context(), store, 0)
		for i := range 5 {
			require.NoError(t, p.put("same", []byte{byte(i)}))
		}
		require.NoError(t, p.wait())
		require.Equal(t, 1, count.most)
		v, err := store.Get(t.Context(), "same", api.Strong)
		require.NoError(t, err)
		require.Equal(t, []byte{4}, v.Data)
	})
}

func TestPipelineEndsAtAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		store := new(apitest.Store).Before(func(_ context.Context, _, key string) error {
			if key == "7" {
				return bad
			}
			return nil
		})
		p := newPipeline(t.Context(), store, 0)
		var err error
		for i := 0; err == nil; i++ {
			err = p.put(fmt.Sprint(i), nil)
			synctest.Wait()
		}
		require.ErrorIs(t, err, context.Canceled)
		err = p.wait()
		require.ErrorIs(t, err, bad)
		require.ErrorContains(t, err, `write "7"`)
	})
}

// A write that did not happen is asked for again, until its time is up.
func TestPipelineRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		store := new(apitest.Store).Before(func(context.Context, string, string) error {
			if time.Since(began) < 10*time.Second {
				return &api.Error{Code: api.CodeNoLeader, Message: "none"}
			}
			return nil
		})
		p := newPipeline(t.Context(), store, 30*time.Second)
		require.NoError(t, p.put("k", nil))
		require.NoError(t, p.wait())

		began = time.Now()
		p = newPipeline(t.Context(), store, 5*time.Second)
		require.NoError(t, p.put("k", nil))
		require.ErrorContains(t, p.wait(), "none")
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestEachItemPages(t *testing.T) {
	store := &apitest.Store{}
	var want []string
	for i := range 2*scanPage + 3 {
		key := fmt.Sprintf("%05d", i)
		want = append(want, key)
		_, err := store.Put(t.Context(), key, nil)
		require.NoError(t, err)
	}
	for _, limit := range []int{0, 1, scanPage, scanPage + 1, 10 * scanPage} {
		var got []string
		a := &app{}
		require.NoError(t, a.eachItem(t.Context(), store, api.ScanQuery{Limit: limit}, func(item api.Item) error {
			got = append(got, item.Key)
			return nil
		}))
		n := len(want)
		if limit > 0 {
			n = min(n, limit)
		}
		require.True(t, slices.Equal(want[:n], got), "limit %d: %d keys", limit, len(got))
	}
}
