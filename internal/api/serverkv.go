package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	kvPath      = "/v1/kv/"
	indexHeader = "Logmesh-Index"
)

// serveKey answers requests for one key, given as it stands in the path.
func (s *Server) serveKey(ctx context.Context, w http.ResponseWriter, r *http.Request, escaped string) error {
	if err := only(w, r, http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete); err != nil {
		return err
	}
	key, err := url.PathUnescape(escaped)
	if err != nil {
		return fail(CodeBadRequest, "", "the key is not percent-encoded: %v", err)
	}
	if err := CheckKey(key); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPut:
		return s.put(ctx, w, r, key)
	case http.MethodDelete:
		return s.delete(ctx, w, r, key)
	}
	return s.get(ctx, w, r, key)
}

// CheckKey says what is wrong with a key, before a node is asked.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fail(CodeBadRequest, "", "the key is empty")
	case len(key) > MaxKey:
		return fail(CodeTooLarge, "", "the key has %d bytes, at most %d are allowed", len(key), MaxKey)
	case !utf8.ValidString(key):
		return fail(CodeBadRequest, "", "the key %q is not UTF-8", key)
	}
	return nil
}

func (s *Server) get(ctx context.Context, w http.ResponseWriter, r *http.Request, key string) error {
	read, err := readOf(r)
	if err != nil {
		return err
	}
	v, err := s.node.Store.Get(ctx, key, read)
	if err != nil {
		return err
	}
	w.Header().Set(indexHeader, strconv.FormatUint(uint64(v.Index), 10))
	if !v.Found {
		return fail(CodeNotFound, "", "no value under %q", key)
	}
	tag := ETag(v.Data)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(v.Data)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(v.Data) // the client is gone: nobody to tell
	}
	return nil
}

func (s *Server) put(ctx context.Context, w http.ResponseWriter, r *http.Request, key string) error {
	value, err := readValue(w, r)
	if err != nil {
		return err
	}
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	var done Written
	switch {
	case match != "" && none != "", none != "" && none != "*":
		return fail(CodeBadRequest, "", `conditions of a PUT are If-Match: "SHA-256" or If-None-Match: *`)
	case match != "":
		done, err = s.swapIf(ctx, key, match, value)
	case none != "":
		done, err = s.node.Store.Swap(ctx, key, Swap{New: value})
	default:
		done, err = s.node.Store.Put(ctx, key, value)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, done)
}

func (s *Server) delete(ctx context.Context, w http.ResponseWriter, r *http.Request, key string) (err error) {
	var done Written
	if match := r.Header.Get("If-Match"); match != "" {
		done, err = s.swapIf(ctx, key, match, nil)
	} else {
		done, err = s.node.Store.Delete(ctx, key)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, done)
}

// swapIf turns a condition on a value's tag into one on the value: it reads the
// value, and the machine compares all of it when the command is applied.
func (s *Server) swapIf(ctx context.Context, key, tag string, value []byte) (Written, error) {
	v, err := s.node.Store.Get(ctx, key, Strong)
	if err != nil {
		return Written{}, err
	}
	if !v.Found || ETag(v.Data) != tag {
		return Written{}, ErrSwapped(key)
	}
	old := v.Data
	if old == nil {
		old = []byte{}
	}
	return s.node.Store.Swap(ctx, key, Swap{Old: old, New: value})
}

// ErrSwapped is how a compare-and-swap fails that found another value than the
// expected one, or one where none was expected.
func ErrSwapped(key string) error {
	return fail(CodePrecondition, "nothing was changed; read the key and try again", "%q does not have the expected value", key)
}

func readValue(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxValue))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, fail(CodeTooLarge, "", "the value has more than %d bytes", MaxValue)
	}
	if err != nil {
		return nil, fail(CodeBadRequest, "", "the value did not arrive whole: %v", err)
	}
	return value, nil // never nil: an empty body is an empty value
}

func readOf(r *http.Request) (Read, error) {
	switch read := Read(r.URL.Query().Get("read")); read {
	case "", Strong:
		return Strong, nil
	case Local:
		return Local, nil
	default:
		return "", fail(CodeBadRequest, "", "read=%s: it must be strong or local", read)
	}
}

func (s *Server) scan(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodGet); err != nil {
		return err
	}
	q, err := scanOf(r)
	if err != nil {
		return err
	}
	page, err := s.node.Store.Scan(ctx, q)
	if err != nil {
		return err
	}
	if page.Items == nil {
		page.Items = []Item{}
	}
	return writeJSON(w, http.StatusOK, page)
}

func scanOf(r *http.Request) (q ScanQuery, err error) {
	values := r.URL.Query()
	for name := range values {
		if !strings.Contains(" prefix after limit keys_only read timeout ", " "+name+" ") {
			return q, fail(CodeBadRequest, "parameters are prefix, after, limit, keys_only, read and timeout", "unknown parameter %q", name)
		}
	}
	if q.Read, err = readOf(r); err != nil {
		return q, err
	}
	q.Prefix, q.After, q.Limit = values.Get("prefix"), values.Get("after"), defaultItems
	if !utf8.ValidString(q.Prefix) || !utf8.ValidString(q.After) || len(q.Prefix) > MaxKey || len(q.After) > MaxKey {
		return q, fail(CodeBadRequest, "", "prefix and after must be UTF-8 of at most %d bytes", MaxKey)
	}
	if text := values.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > MaxPage {
			return q, fail(CodeBadRequest, "", "limit %q is not a number from 1 to %d", text, MaxPage)
		}
	}
	if text := values.Get("keys_only"); text != "" {
		if q.KeysOnly, err = strconv.ParseBool(text); err != nil {
			return q, fail(CodeBadRequest, "", "keys_only %q is not true or false", text)
		}
	}
	return q, nil
}
