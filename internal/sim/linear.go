package sim

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is what porcupine knows of one key.
type register struct {
	value string
	found bool
}

// linearizable: R4. There is an order of the operations on each key that explains
// every result, in which none takes effect before it began or after it ended. An
// unknown one may take effect at any time after it began.
func (w *World) linearizable() {
	byKey := map[int][]porcupine.Operation{}
	most := 0
	for _, x := range w.history.ops {
		if x.kind == opLocal || x.kind == opAfter || !x.done && !x.unknown {
			continue
		}
		end := int64(x.end)
		if !x.done {
			end = math.MaxInt64
		}
		byKey[x.key] = append(byKey[x.key], porcupine.Operation{ClientId: x.user, Input: x, Call: int64(x.begin), Output: x, Return: end})
		most = max(most, x.key)
	}
	model := porcupine.Model{
		Init: func() any { return register{} },
		Step: func(state, _, output any) (bool, any) { return output.(*operation).step(state.(register)) },
	}
	for key := range most + 1 {
		switch porcupine.CheckOperationsTimeout(model, byKey[key], 20*time.Second) {
		case porcupine.Illegal:
			w.violate("not linearizable", "key %s: %d operations", keyName(key), len(byKey[key]))
			for _, o := range byKey[key] {
				w.tell("%v", o.Input)
			}
		case porcupine.Unknown:
			w.tell("key %s: linearizability could not be decided in time", keyName(key))
		}
	}
}

// step is whether the operation could have its result in a state, and the state
// after it.
func (x *operation) step(r register) (bool, any) {
	switch x.kind {
	case opPut:
		return !x.done || x.ok == r.found, register{x.value, true}
	case opDelete:
		return !x.done || x.ok == r.found, register{}
	case opSwap:
		swaps := r.found == x.oldExists && r.value == x.old
		if swaps {
			return !x.done || x.ok, register{x.value, true}
		}
		return !x.done || !x.ok, r
	default:
		return x.ok == r.found && x.value == r.value, r
	}
}
