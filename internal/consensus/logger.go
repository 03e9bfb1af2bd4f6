package consensus

import (
	"context"
	"fmt"
	"log/slog"
)

// logger hands the library's chatter to slog, all of it at Debug but for its
// errors. Panics stay panics: the Core catches them.
type logger struct{ to *slog.Logger }

func (l logger) Debug(v ...any)            { l.to.Debug(fmt.Sprint(v...)) }
func (l logger) Debugf(f string, v ...any) { l.debugf(f, v) }
func (l logger) Info(v ...any)             { l.to.Debug(fmt.Sprint(v...)) }
func (l logger) Infof(f string, v ...any)  { l.debugf(f, v) }
func (l logger) Warning(v ...any)          { l.to.Debug(fmt.Sprint(v...)) }
func (l logger) Warningf(f string, v ...any) {
	l.debugf(f, v)
}
func (l logger) Error(v ...any)            { l.to.Error(fmt.Sprint(v...)) }
func (l logger) Errorf(f string, v ...any) { l.to.Error(fmt.Sprintf(f, v...)) }
func (l logger) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (l logger) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (l logger) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (l logger) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }

// debugf formats only what will be seen: the library logs in its hot paths.
func (l logger) debugf(f string, v []any) {
	if l.to.Enabled(context.Background(), slog.LevelDebug) {
		l.to.Debug(fmt.Sprintf(f, v...))
	}
}
