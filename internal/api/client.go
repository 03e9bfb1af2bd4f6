package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/codec"
)

// What a pipelined client keeps in flight: at most so many requests, and so
// many bytes of values.
const (
	maxPipelined      = 64
	MaxPipelined      = maxPipelined
	MaxPipelinedBytes = 8 << 20
)

// maxAnswer bounds what is read of one answer: a page of the largest items.
const maxAnswer = 64 << 20

// Client asks one node through its API. Its errors are *Error. It is safe for
// concurrent use.
type Client struct {
	addr string // host:port
	http *http.Client
}

// NewClient makes a client of the node whose API is at addr: host:port, or
// http://host:port. It does not connect.
func NewClient(addr string) (*Client, error) {
	host := strings.TrimSuffix(strings.TrimPrefix(addr, "http://"), "/")
	if _, port, err := net.SplitHostPort(host); err != nil || port == "" || strings.ContainsAny(host, "/?#@ ") {
		return nil, fail(CodeBadRequest, "an API address is host:port, as in 127.0.0.1:6171", "bad address %q", addr)
	}
	transport := &http.Transport{ // no proxy: the node is on this machine, or its port is forwarded
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: maxPipelined,
		MaxConnsPerHost:     maxPipelined,
		DisableCompression:  true,
		IdleConnTimeout:     idleTimeout / 2, // before the server drops it
	}
	return &Client{addr: host, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Addr is the API address that the client asks.
func (c *Client) Addr() string { return c.addr }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the node's picture of its group.
func (c *Client) Status(ctx context.Context) (st logmesh.Status, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/status"}, &st)
	return st, err
}

// SetServeRate changes how fast the node serves members that catch up, in bytes
// per second; 0: no limit.
func (c *Client) SetServeRate(ctx context.Context, bytesPerSec int64) error {
	body, err := json.Marshal(Tuning{ServeRate: &bytesPerSec})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/v1/tune", body: body}, nil)
	return err
}

// Get reads a key; a missing one is no error.
func (c *Client) Get(ctx context.Context, key string, read Read) (Value, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, path: keyPath(key), query: url.Values{"read": {string(read)}}}, nil)
	if errors.Is(err, &Error{Code: CodeNotFound}) && a.index != 0 {
		return Value{Index: a.index}, nil
	}
	if err != nil {
		return Value{}, err
	}
	return Value{Found: true, Data: a.body, Index: a.index}, nil
}

// Put writes a value.
func (c *Client) Put(ctx context.Context, key string, value []byte) (w Written, err error) {
	_, err = c.do(ctx, request{method: http.MethodPut, path: keyPath(key), body: value}, &w)
	return w, err
}

// Delete removes a key.
func (c *Client) Delete(ctx context.Context, key string) (w Written, err error) {
	_, err = c.do(ctx, request{method: http.MethodDelete, path: keyPath(key)}, &w)
	return w, err
}

// Swap is a compare-and-swap.
func (c *Client) Swap(ctx context.Context, key string, s Swap) (w Written, err error) {
	r := request{method: http.MethodPut, path: keyPath(key), body: s.New, header: http.Header{}}
	if s.New == nil {
		r.method = http.MethodDelete
	}
	switch {
	case s.Old != nil:
		r.header.Set("If-Match", ETag(s.Old))
	case s.New != nil:
		r.header.Set("If-None-Match", "*")
	default:
		return w, fail(CodeBadRequest, "", "a swap from nothing to nothing")
	}
	_, err = c.do(ctx, r, &w)
	return w, err
}

// Scan reads a page of keys.
func (c *Client) Scan(ctx context.Context, q ScanQuery) (p Page, err error) {
	v := url.Values{"prefix": {q.Prefix}, "after": {q.After}, "read": {string(q.Read)}}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.KeysOnly {
		v.Set("keys_only", "true")
	}
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/kv", query: v}, &p)
	return p, err
}

// keyPath escapes a key so that no client, proxy or server changes it: slashes
// too, and a key of dots.
func keyPath(key string) string {
	escaped := url.PathEscape(key)
	if key == "." || key == ".." {
		escaped = strings.ReplaceAll(key, ".", "%2E")
	}
	return kvPath + escaped
}

type request struct {
	method, path string // path: percent-encoded
	query        url.Values
	header       http.Header
	body         []byte
}

func (r request) writes() bool { return r.method != http.MethodGet }

type answer struct {
	body  []byte
	index codec.Index // of the header; 0: none
}

// do sends r and reads the whole answer, into out if it is not nil.
func (c *Client) do(ctx context.Context, r request, out any) (answer, error) {
	req, err := c.build(ctx, r)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, c.broken(r, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	index, _ := strconv.ParseUint(resp.Header.Get(indexHeader), 10, 64)
	a := answer{index: codec.Index(index)}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return a, c.broken(r, err)
	}
	if len(a.body) > maxAnswer {
		return a, fail(CodeTooLarge, "ask for fewer at once", "the answer has more than %d bytes", maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		return a, c.failed(resp.StatusCode, a.body)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			return a, fail(CodeInternal, "is it a logmesh node of this version?", "%s answered nonsense: %v", c.addr, err)
		}
	}
	return a, nil
}

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	query := url.Values{}
	if r.query != nil {
		query = r.query
	}
	if left, ok := timeLeft(ctx); ok {
		query.Set("timeout", left.String())
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+c.addr+r.path+"?"+query.Encode(), bytes.NewReader(r.body))
	if err != nil {
		return nil, fail(CodeBadRequest, "", "%v", err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	return req, nil
}

// timeLeft is how long the node may take: a little less than the caller waits,
// so that the node's own words arrive in time.
func timeLeft(ctx context.Context) (time.Duration, bool) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, false
	}
	left := time.Until(deadline)
	left -= min(left/10, 200*time.Millisecond)
	return min(max(left, time.Millisecond), maxTimeout), true
}

// broken describes a request that got no answer.
func (c *Client) broken(r request, err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return fail(CodeUnreachable, "start one with `logmesh run`, or name it with --node ADDR or --data DIR", "no node answers at %s: %v", c.addr, op.Err)
	case r.writes():
		return asError(&logmesh.UnknownOutcomeError{Cause: errors.New(cause(err))})
	case errors.Is(err, context.DeadlineExceeded):
		return asError(context.DeadlineExceeded)
	}
	return fail(CodeUnreachable, "see whether the node still runs", "the node at %s did not answer: %s", c.addr, cause(err))
}

// cause is the innermost part of a transport's error that means something to
// people.
func cause(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

func (c *Client) failed(status int, body []byte) error {
	e := new(Error)
	if json.Unmarshal(body, e) != nil || e.Code == "" {
		return fail(CodeInternal, "is it the API of a logmesh node?", "%s", fmt.Sprintf("%s answered %d %s", c.addr, status, http.StatusText(status)))
	}
	return e
}
