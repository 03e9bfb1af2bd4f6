package replay

import (
	"fmt"

	"github.com/logmesh/logmesh/codec"
)

// PanicError says that the machine panicked. Its state is not known any more:
// the Core that returned the error returns it from then on.
type PanicError struct {
	Index  codec.Index // the command that was being applied; else the applied index
	During string      // "apply", "query" or "digest"
	Value  any         // what the machine panicked with
	Stack  []byte      // where, as runtime/debug.Stack gives it
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("the machine panicked during %s at index %d: %v", e.During, e.Index, e.Value)
}

// Unwrap is the error that the machine panicked with, if it was one.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// GapError says that entries do not follow the applied index; none of them was
// applied.
type GapError struct {
	Want, Got codec.Index
}

func (e *GapError) Error() string {
	return fmt.Sprintf("replay: entry %d comes where %d must come", e.Got, e.Want)
}
