package p2p

import (
	"context"
	"log/slog"
	"sync"

	"github.com/libp2p/go-libp2p/gologshim"
)

// demoted passes on warnings and errors of libp2p as debug messages: what they
// say (a listener that was closed, a peer that hung up) is no fault of this
// node, and what matters of it we report ourselves.
type demoted struct{ slog.Handler }

// Enabled implements slog.Handler.
func (d demoted) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && d.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (d demoted) WithGroup(name string) slog.Handler {
	return demoted{d.Handler.WithGroup(name)}
}

var captureOnce sync.Once

// captureLogs sends libp2p's own log, which is one for the whole process, to
// the logger of the first node instead of standard error.
func captureLogs(to *slog.Logger) {
	captureOnce.Do(func() { gologshim.SetDefaultHandler(demoted{to.Handler()}) })
}
