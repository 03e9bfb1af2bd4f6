package main

import (
	"fmt"
	"sync"
	"time"
)

// progress shows one line again and again on a terminal, and nothing elsewhere.
type progress struct {
	mu   sync.Mutex // guards the terminal's line
	end  chan struct{}
	done sync.WaitGroup
}

const clearLine = "\r\x1b[K"

// progress starts showing line, which gets the time since now.
func (a *app) progress(line func(time.Duration) string) *progress {
	p := &progress{end: make(chan struct{})}
	if !terminal(a.err) {
		return p
	}
	began := time.Now()
	p.done.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.mu.Lock()
				_, _ = fmt.Fprint(a.err, clearLine+line(time.Since(began)))
				p.mu.Unlock()
			case <-p.end:
				_, _ = fmt.Fprint(a.err, clearLine)
				return
			}
		}
	})
	return p
}

// say writes a line of talk without tearing the shown one.
func (p *progress) say(a *app, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if terminal(a.err) {
		_, _ = fmt.Fprint(a.err, clearLine)
	}
	a.say(format, args...)
}

// stop takes the line away. It is called once.
func (p *progress) stop() {
	close(p.end)
	p.done.Wait()
}
