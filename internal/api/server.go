package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/logmesh/logmesh"
)

// Node is what the server shows.
type Node struct {
	Store        Store
	Status       func() logmesh.Status
	Members      Membership
	SetServeRate func(bytesPerSec int64) // 0: no limit
	Logger       *slog.Logger            // nil: silent
}

const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 10 * time.Minute
	bodyTimeout    = time.Minute      // for a request to be read, and for an answer to be taken
	idleTimeout    = 2 * time.Minute  // between two requests
	maxHeader      = 32 << 10         // bytes; a key of 1 KiB escapes to 3 KiB
	maxActive      = 2 * maxPipelined // requests at work, so at most as many values in memory
)

// Server answers a node's local API.
type Server struct {
	node   Node
	guard  guard
	active chan struct{} // a token for each request at work
	http   *http.Server
}

// NewServer makes the API of node, bound to the address bound (host:port or
// host), which decides what Host headers are accepted.
func NewServer(node Node, bound string) *Server {
	if node.Logger == nil {
		node.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{node: node, guard: guard{bound: hostOnly(bound)}, active: make(chan struct{}, maxActive)}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(node.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers requests on l until Close; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends serving: requests at work may finish until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := s.serve(w, r); err != nil {
		writeError(w, asError(err))
	}
}

// serve routes by hand: ServeMux redirects paths with double slashes and dots,
// which are ordinary in keys.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) error {
	if err := s.guard.check(r); err != nil {
		return err
	}
	if path := r.URL.EscapedPath(); strings.HasPrefix(path, kvPath) {
		return s.limited(w, r, func(ctx context.Context) error { return s.serveKey(ctx, w, r, path[len(kvPath):]) })
	}
	switch r.URL.Path {
	case "/livez":
		return s.livez(w, r)
	case "/readyz":
		return s.readyz(w, r)
	case "/v1/status":
		return s.status(w, r)
	case "/v1/tune":
		return s.tune(w, r)
	case "/v1/kv":
		return s.limited(w, r, func(ctx context.Context) error { return s.scan(ctx, w, r) })
	case leavePath:
		return s.limited(w, r, func(ctx context.Context) error { return s.leave(ctx, w, r) })
	}
	if path := r.URL.Path; path == membersPath || strings.HasPrefix(path, membersPath+"/") {
		return s.limited(w, r, func(ctx context.Context) error { return s.serveMembers(ctx, w, r) })
	}
	return fail(CodeNotFound, "the API is described in package internal/api", "no such path: %s", r.URL.Path)
}

// limited bounds a request in time, and how many are at work.
func (s *Server) limited(w http.ResponseWriter, r *http.Request, do func(context.Context) error) error {
	timeout, err := timeoutOf(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	// A connection that cannot have a deadline is one of a test.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout + bodyTimeout))
	select {
	case s.active <- struct{}{}:
		defer func() { <-s.active }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return do(ctx)
}

func timeoutOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("timeout")
	if text == "" {
		return defaultTimeout, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxTimeout {
		return 0, fail(CodeBadRequest, "", "timeout %q is not a duration from 1ns to %v", text, maxTimeout)
	}
	return d, nil
}

func (s *Server) livez(w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	return writeText(w, http.StatusOK, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	if why := NotReady(s.node.Status()); why != "" {
		return writeText(w, http.StatusServiceUnavailable, why)
	}
	return writeText(w, http.StatusOK, "ok")
}

// NotReady says why a group is not usable through this node, or nothing.
func NotReady(st logmesh.Status) string {
	switch {
	case st.Error != "":
		return "stopped: " + st.Error
	case st.Phase != logmesh.PhaseOnline && st.Detail != "":
		return string(st.Phase) + ": " + st.Detail
	case st.Phase != logmesh.PhaseOnline:
		return string(st.Phase)
	case st.NoQuorum != nil:
		return st.NoQuorum.String()
	case st.Leader == "":
		return "no leader"
	}
	return ""
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodGet, http.MethodHead); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.node.Status())
}

// Tuning is what can be changed while a node runs.
type Tuning struct {
	ServeRate *int64 `json:"serve_rate"` // bytes per second of blocks to members that catch up; 0: no limit
}

func (s *Server) tune(w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodPost); err != nil {
		return err
	}
	decode := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	decode.DisallowUnknownFields()
	var t Tuning
	if err := decode.Decode(&t); err != nil {
		return fail(CodeBadRequest, `send {"serve_rate":8388608}`, "bad tuning: %v", err)
	}
	if t.ServeRate == nil || *t.ServeRate < 0 {
		return fail(CodeBadRequest, "", "serve_rate must be 0 (no limit) or more, in bytes per second")
	}
	s.node.SetServeRate(*t.ServeRate)
	return writeJSON(w, http.StatusOK, t)
}

func only(w http.ResponseWriter, r *http.Request, methods ...string) error {
	for _, m := range methods {
		if r.Method == m {
			return nil
		}
	}
	allow := strings.Join(methods, ", ")
	w.Header().Set("Allow", allow)
	return fail(CodeMethod, "", "%s is not offered here, only %s", r.Method, allow)
}

func writeText(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client is gone: nobody to tell
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client is gone: nobody to tell
	return nil
}

func writeError(w http.ResponseWriter, e *Error) {
	status, ok := statusOf[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	_ = writeJSON(w, status, e) // three strings always encode
}
