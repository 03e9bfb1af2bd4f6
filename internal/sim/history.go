package sim

import (
	"fmt"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// operation is what a user did, and what came of it.
type operation struct {
	op
	id         uint64
	user       int
	through    int // member
	begin, end time.Duration
	old, value string // to write; or read
	oldExists  bool
	ok         bool        // write: the machine's answer; read: found
	index      codec.Index // where it was decided; of a read: at which the machine was
	at         codec.Index // a read waited for it

	done    bool // the result is known
	unknown bool // it may have happened, or may yet
	never   bool // it did not happen, and will not
}

func (x *operation) String() string {
	s := fmt.Sprintf("operation %d: user %d, %s of %s through member %d at %s", x.id, x.user, opNames[x.kind], keyName(x.key), x.through, seconds(x.begin))
	switch {
	case x.done:
		s += fmt.Sprintf(", done at %s, index %d, %v", seconds(x.end), x.index, x.ok)
	case x.unknown:
		s += ", unknown"
	case x.never:
		s += ", never"
	}
	if x.value != "" {
		s += fmt.Sprintf(", value %d", idOf([]byte(x.value)))
	}
	return s
}

// history is all operations of users, in the order in which they began.
type history struct {
	ops  []*operation
	last uint64 // number that was given out
}

func (h *history) number() uint64 {
	h.last++
	return h.last
}

func (h *history) begin(user int, o op, through int, now time.Duration) *operation {
	x := &operation{op: o, id: h.number(), user: user, through: through, begin: now}
	h.ops = append(h.ops, x)
	return x
}
