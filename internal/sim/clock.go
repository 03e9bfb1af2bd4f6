package sim

import "time"

// moment is something that will happen.
type moment struct {
	at  time.Duration
	seq uint64 // orders what happens at one time: first asked, first done
	do  func()
}

func (m *moment) before(o *moment) bool { return m.at < o.at || m.at == o.at && m.seq < o.seq }

// timeline is the virtual clock: what will happen, the next on top of a binary
// heap. Time stands still while something happens.
type timeline struct {
	now  time.Duration
	seq  uint64
	heap []moment
}

// after lets f happen in d.
func (t *timeline) after(d time.Duration, f func()) {
	t.seq++
	t.heap = append(t.heap, moment{t.now + max(d, 0), t.seq, f})
	for i := len(t.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !t.heap[i].before(&t.heap[up]) {
			return
		}
		t.heap[i], t.heap[up] = t.heap[up], t.heap[i]
		i = up
	}
}

// step lets the next moment happen. It reports false when there is none.
func (t *timeline) step() bool {
	if len(t.heap) == 0 {
		return false
	}
	next := t.heap[0]
	last := len(t.heap) - 1
	t.heap[0] = t.heap[last]
	t.heap[last] = moment{}
	t.heap = t.heap[:last]
	t.sink()
	t.now = next.at
	next.do()
	return true
}

func (t *timeline) sink() {
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if t.heap[child].before(&t.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		t.heap[i], t.heap[least] = t.heap[least], t.heap[i]
		i = least
	}
}
