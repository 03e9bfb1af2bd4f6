package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/api"
	"github.com/logmesh/logmesh/internal/api/apitest"
)

// bench is a server on loopback with a client and a store of the test.
type bench struct {
	store  apitest.Store
	group  apitest.Members
	status logmesh.Status
	rate   int64
	url    string
	client *api.Client
}

func newBench(t testing.TB) *bench {
	b := &bench{rate: -1}
	s := httptest.NewUnstartedServer(nil)
	addr := s.Listener.Addr().String()
	s.Config.Handler = api.NewServer(api.Node{
		Store:        &b.store,
		Members:      &b.group,
		Status:       func() logmesh.Status { return b.status },
		SetServeRate: func(r int64) { b.rate = r },
	}, addr)
	s.Start()
	t.Cleanup(s.Close)
	c, err := api.NewClient(addr)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	b.url, b.client = s.URL, c
	return b
}

// send makes a request by hand and returns status and body.
func (b *bench) send(t testing.TB, method, path, body string, header ...string) (int, string, http.Header) {
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data), resp.Header
}

// Any UTF-8 key survives the way through URL, server and JSON.
func TestAnyKeyReturns(t *testing.T) {
	b := newBench(t)
	for _, key := range []string{".", "..", "a/../b", "//", "/a", "a/", "a%2Fb", "?x=1", "#", "ä\x00\n", "a b+c"} {
		checkKeyReturns(t, b.client, key, []byte(key))
	}
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.StringN(1, 40, api.MaxKey).Draw(rt, "key")
		checkKeyReturns(t, b.client, key, rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(rt, "value"))
	})
}

func checkKeyReturns(t *testing.T, c *api.Client, key string, value []byte) {
	ctx := t.Context()
	_, err := c.Put(ctx, key, value)
	require.NoError(t, err, "%q", key)
	got, err := c.Get(ctx, key, api.Strong)
	require.NoError(t, err, "%q", key)
	require.True(t, got.Found, "%q", key)
	require.Equal(t, string(value), string(got.Data), "%q", key)
	page, err := c.Scan(ctx, api.ScanQuery{Prefix: key, Limit: 1})
	require.NoError(t, err, "%q", key)
	require.Equal(t, key, page.Items[0].Key)
	w, err := c.Delete(ctx, key)
	require.NoError(t, err, "%q", key)
	require.True(t, w.Existed)
	got, err = c.Get(ctx, key, api.Local)
	require.NoError(t, err)
	require.False(t, got.Found)
}

// Keys stand in a path as people write them, too.
func TestPlainPaths(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"net/http/server.go", "a//b", "x%20y"} {
		status, body, _ := b.send(t, "PUT", "/v1/kv/"+path, "v")
		require.Equal(t, 200, status, body)
	}
	page, err := b.client.Scan(t.Context(), api.ScanQuery{KeysOnly: true})
	require.NoError(t, err)
	require.Equal(t, []api.Item{{Key: "a//b"}, {Key: "net/http/server.go"}, {Key: "x y"}}, page.Items)
}

func TestSwap(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	failed := &api.Error{Code: api.CodePrecondition}
	swap := func(old, value []byte) error {
		_, err := b.client.Swap(ctx, "k", api.Swap{Old: old, New: value})
		return err
	}
	require.ErrorIs(t, swap([]byte("x"), []byte("1")), failed) // no value yet
	require.NoError(t, swap(nil, []byte("")))
	require.ErrorIs(t, swap(nil, []byte("1")), failed) // it has one, if empty
	require.NoError(t, swap([]byte{}, []byte("1")))
	require.ErrorIs(t, swap([]byte("2"), []byte("3")), failed)
	require.ErrorIs(t, swap([]byte("2"), nil), failed)
	require.NoError(t, swap([]byte("1"), nil)) // deletes
	v, err := b.client.Get(ctx, "k", api.Strong)
	require.NoError(t, err)
	require.False(t, v.Found)
}

func TestScanPages(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	for _, k := range []string{"a", "p/1", "p/2", "p/3", "q"} {
		_, err := b.client.Put(ctx, k, []byte("v"+k))
		require.NoError(t, err)
	}
	var keys []string
	q := api.ScanQuery{Prefix: "p/", Limit: 2}
	for more := true; more; {
		page, err := b.client.Scan(ctx, q)
		require.NoError(t, err)
		for _, item := range page.Items {
			require.Equal(t, "v"+item.Key, string(item.Value))
			keys = append(keys, item.Key)
		}
		more, q.After = page.More, keys[len(keys)-1]
	}
	require.Equal(t, []string{"p/1", "p/2", "p/3"}, keys)
	status, body, _ := b.send(t, "GET", "/v1/kv?prefix=none", "")
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"items":[],"more":false,"index":5}`, body)
}

// Every failure has its status, its code, and a text for people.
func TestErrors(t *testing.T) {
	b := newBench(t)
	rejected := &logmesh.RejectedError{Index: 9, Reason: "too many keys"}
	unknown := &logmesh.UnknownOutcomeError{Cause: context.DeadlineExceeded}
	for _, c := range []struct {
		method, path, body string
		fails              error // of the store
		status             int
		code               api.Code
	}{
		{"GET", "/nowhere", "", nil, 404, api.CodeNotFound},
		{"GET", "/v1/kv/none", "", nil, 404, api.CodeNotFound},
		{"GET", "/v1/kv/", "", nil, 400, api.CodeBadRequest},
		{"GET", "/v1/kv/%ff", "", nil, 400, api.CodeBadRequest},
		{"GET", "/v1/kv/" + strings.Repeat("k", api.MaxKey+1), "", nil, 413, api.CodeTooLarge},
		{"PUT", "/v1/kv/k", strings.Repeat("v", api.MaxValue+1), nil, 413, api.CodeTooLarge},
		{"GET", "/v1/kv/k?read=fresh", "", nil, 400, api.CodeBadRequest},
		{"GET", "/v1/kv/k?timeout=never", "", nil, 400, api.CodeBadRequest},
		{"GET", "/v1/kv?limit=0", "", nil, 400, api.CodeBadRequest},
		{"GET", "/v1/kv?limits=3", "", nil, 400, api.CodeBadRequest},
		{"GET", "/v1/kv?keys_only=si", "", nil, 400, api.CodeBadRequest},
		{"POST", "/v1/kv/k", "", nil, 405, api.CodeMethod},
		{"PUT", "/v1/status", "", nil, 405, api.CodeMethod},
		{"GET", "/v1/tune", "", nil, 405, api.CodeMethod},
		{"POST", "/v1/tune", `{"serve_rate":-1}`, nil, 400, api.CodeBadRequest},
		{"POST", "/v1/tune", `{"server_rate":1}`, nil, 400, api.CodeBadRequest},
		{"POST", "/v1/tune", `{}`, nil, 400, api.CodeBadRequest},
		{"PUT", "/v1/kv/k", "v", rejected, 422, api.CodeRejected},
		{"PUT", "/v1/kv/k", "v", unknown, 504, api.CodeUnknown},
		{"PUT", "/v1/kv/k", "v", logmesh.ErrNoLeader, 503, api.CodeNoLeader},
		{"PUT", "/v1/kv/k", "v", logmesh.ErrRemoved, 503, api.CodeStopped},
		{"GET", "/v1/kv/k", "", logmesh.ErrClosed, 503, api.CodeStopped},
		{"GET", "/v1/kv/k", "", context.DeadlineExceeded, 504, api.CodeTimeout},
		{"GET", "/v1/kv/k", "", io.ErrUnexpectedEOF, 500, api.CodeInternal},
	} {
		b.store.Before(func(context.Context, string, string) error { return c.fails })
		status, body, _ := b.send(t, c.method, c.path, c.body)
		var e api.Error
		require.NoError(t, json.Unmarshal([]byte(body), &e), body)
		require.Equal(t, c.status, status, "%+v: %s", c, body)
		require.Equal(t, c.code, e.Code, body)
		require.NotEmpty(t, e.Message)
	}
}

// H9: a page in a browser must not reach the node.
func TestForeignHostAndOrigin(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"Host", "evil.example", 403},
		{"Host", "evil.example:80", 403},
		{"Host", "192.0.2.7:6171", 403},
		{"Host", "127.0.0.1.evil.example", 403},
		{"Host", "localhost:1", 200},
		{"Host", "127.0.0.1", 200},
		{"Host", "[::1]:6171", 200},
		{"Origin", "https://evil.example", 403},
		{"Origin", "null", 403},
		{"Origin", "http://localhost:6171", 200},
	} {
		status, body, _ := b.send(t, "GET", "/v1/status", "", c.name, c.value)
		require.Equal(t, c.status, status, "%s: %s: %s", c.name, c.value, body)
	}
}

func TestBoundElsewhere(t *testing.T) {
	for bound, want := range map[string]int{
		"192.0.2.7:6171": 200, "0.0.0.0:6171": 200, "[::]:6171": 200, "192.0.2.8:6171": 403, "node.example:6171": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/livez", nil)
		r.Host = "192.0.2.7:6171"
		w := httptest.NewRecorder()
		api.NewServer(api.Node{}, bound).ServeHTTP(w, r)
		require.Equal(t, want, w.Code, bound)
	}
}

func TestReadiness(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		st   logmesh.Status
		want string
	}{
		{logmesh.Status{Phase: logmesh.PhaseOnline, Leader: "x"}, "ok"},
		{logmesh.Status{Phase: logmesh.PhaseOnline}, "no leader"},
		{
			logmesh.Status{Phase: logmesh.PhaseOnline, NoQuorum: &logmesh.NoQuorum{Reachable: 1, Voters: 3, Missing: []codec.PeerID{"b", "c"}, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
			"no quorum: 1 of 3 voters reachable (missing: b, c; since 2026-01-02 03:04:05)",
		},
		{logmesh.Status{Phase: logmesh.PhaseCatchingUp, Leader: "x", Detail: "3 of 9 blocks"}, "catching up: 3 of 9 blocks"},
		{logmesh.Status{Phase: logmesh.PhaseJoining}, "joining"},
		{logmesh.Status{Phase: logmesh.PhaseStopped, Error: "panic at 7"}, "stopped: panic at 7"},
	} {
		b.status = c.st
		status, body, _ := b.send(t, "GET", "/readyz", "")
		require.Equal(t, c.want, strings.TrimSpace(body))
		require.Equal(t, c.want == "ok", status == 200)
		status, _, _ = b.send(t, "GET", "/livez", "")
		require.Equal(t, 200, status)
	}
}

func TestStatusAndTune(t *testing.T) {
	b := newBench(t)
	b.status = logmesh.Status{Network: "local", Digest: [32]byte{1, 2}, RaftID: 1<<63 + 1, Members: []logmesh.MemberStatus{{Peer: "a", Role: 1, Trails: -1}}}
	st, err := b.client.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, b.status, st)
	require.NoError(t, b.client.SetServeRate(t.Context(), 0))
	require.Zero(t, b.rate)
}

// A slow node answers in its own words before the client gives up.
func TestTimeoutTravels(t *testing.T) {
	b := newBench(t)
	b.store.Before(func(ctx context.Context, method, _ string) error {
		<-ctx.Done()
		if method == "get" {
			return ctx.Err()
		}
		return &logmesh.UnknownOutcomeError{Cause: ctx.Err()}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := b.client.Get(ctx, "k", api.Strong)
	require.ErrorIs(t, err, &api.Error{Code: api.CodeTimeout})
	require.NoError(t, ctx.Err(), "the answer came from the node")
	_, err = b.client.Put(ctx, "k", nil)
	require.ErrorIs(t, err, &api.Error{Code: api.CodeUnknown})
}

// A write whose connection breaks has an unknown outcome; one that found nobody
// has not happened.
func TestBrokenConnections(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	c, err := api.NewClient(s.URL)
	require.NoError(t, err)
	_, err = c.Put(t.Context(), "k", []byte("v"))
	require.ErrorIs(t, err, &api.Error{Code: api.CodeUnknown})
	_, err = c.Get(t.Context(), "k", api.Strong)
	require.ErrorIs(t, err, &api.Error{Code: api.CodeUnreachable})
	s.Close()
	_, err = c.Put(t.Context(), "k", []byte("v"))
	require.ErrorIs(t, err, &api.Error{Code: api.CodeUnreachable})
}

func TestETagOnGet(t *testing.T) {
	b := newBench(t)
	_, err := b.client.Put(t.Context(), "k", []byte("v"))
	require.NoError(t, err)
	status, body, header := b.send(t, "GET", "/v1/kv/k", "")
	require.Equal(t, 200, status)
	require.Equal(t, "v", body)
	require.Equal(t, "1", header.Get("Logmesh-Index"))
	// printf v | sha256sum
	require.Equal(t, `"4c94485e0c21ae6c41ce1dfe7b6bfaceea5ab68e40a2476f50208e526f506080"`, header.Get("ETag"))
	status, body, _ = b.send(t, "GET", "/v1/kv/k", "", "If-None-Match", header.Get("ETag"))
	require.Equal(t, 304, status)
	require.Empty(t, body)
}

// A key is one segment on its way, which nothing between client and server
// resolves or splits.
func TestClientEscapesKeys(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI }))
	defer s.Close()
	c, err := api.NewClient(s.URL)
	require.NoError(t, err)
	for key, want := range map[string]string{
		"..": "%2E%2E", ".": "%2E", "a/../b": "a%2F..%2Fb", "ä?": "%C3%A4%3F", "a%2F": "a%252F",
	} {
		_, _ = c.Put(t.Context(), key, nil) // the answer is not one of a node
		require.Equal(t, "/v1/kv/"+want, strings.TrimSuffix(got, "?"))
	}
}

func TestClientAddresses(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:6171": true, "http://127.0.0.1:6171/": true, "[::1]:80": true, "localhost:1": true,
		"127.0.0.1": false, "https://127.0.0.1:1": false, "": false, "a b:1": false, "127.0.0.1:6171/v1": false,
	} {
		_, err := api.NewClient(addr)
		require.Equal(t, ok, err == nil, "%q: %v", addr, err)
	}
}

// The largest value passes, and no byte more.
func TestLargestValue(t *testing.T) {
	b := newBench(t)
	value := bytes.Repeat([]byte{0xff}, api.MaxValue)
	_, err := b.client.Put(t.Context(), "k", value)
	require.NoError(t, err)
	v, err := b.client.Get(t.Context(), "k", api.Strong)
	require.NoError(t, err)
	require.True(t, bytes.Equal(value, v.Data))
	_, err = b.client.Put(t.Context(), "k", append(value, 0))
	require.ErrorIs(t, err, &api.Error{Code: api.CodeTooLarge})
}
