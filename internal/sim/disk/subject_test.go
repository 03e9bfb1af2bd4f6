package disk_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/ledger"
	"github.com/logmesh/logmesh/internal/sim/disk"
)

// subject is what a ledger and its model have in common.
type subject interface {
	Found(e codec.Entry) error
	OpenEmpty() error
	Save(entries []codec.Entry, hard *codec.HardState, sync bool) error
	Seal(commit codec.Index) (blocks int, err error)
	Release(first uint64, blocks [][]byte) error
	Drop(blocks uint64) error
	Adopt(at codec.Cursor, ids []codec.RaftID) error
	AdoptHead() (bool, error)
	CheckAdopt(at codec.Cursor, ids []codec.RaftID) error
	MoveHorizon(floor codec.Index) error
	SetRaftApplied(i codec.Index, c codec.Configuration) error
	SetLogID(id codec.LogID) error
	SetRemoved(index codec.Index) error
	Recover(entries []codec.Entry) error

	HardState() codec.HardState
	RaftApplied() (codec.Index, codec.Configuration)
	Sealed() (codec.Cursor, codec.Configuration)
	Head() codec.Head
	HeadCursor() codec.Cursor
	HeadConfig() codec.Configuration
	Entries(lo, hi codec.Index, maxBytes uint64) ([]codec.Entry, error)
	Term(i codec.Index) (codec.Term, error)
	FirstIndex() codec.Index
	LastIndex() codec.Index
	HasRaftView() bool
	Block(number uint64) ([]byte, error)
	BlockOf(i codec.Index) (number uint64, first codec.Index, err error)
	Leaves(from, to uint64) ([]codec.Hash, error)
	Range(from, to uint64) ([]codec.Hash, error)
	RootAt(blocks uint64) (codec.Hash, error)
	Read(from, to codec.Index, maxBytes int) ([]codec.Entry, error)
	LogID() codec.LogID
	Before() []codec.Recovery
	Removed() codec.Index
	End() (ledger.End, error)
	RaftID() codec.RaftID
	Full(now time.Time) bool
	Failed() error
	Close() error
}

var (
	_ subject = (*ledger.Ledger)(nil)
	_ subject = (*disk.Ledger)(nil)
)

// sameError: both are nil, or both say the same to a caller who acts on it.
func sameError(a, b error) bool {
	if (a == nil) != (b == nil) {
		return false
	}
	for _, is := range []error{ledger.ErrClosed, ledger.ErrInUse, ledger.ErrNoRaftView, ledger.ErrNoLog, ledger.ErrNotAdopted, codec.ErrCompacted, codec.ErrUnavailable} {
		if errors.Is(a, is) != errors.Is(b, is) {
			return false
		}
	}
	return sameTyped[*ledger.DivergenceError](a, b) && sameTyped[*ledger.LogIDError](a, b) && sameTyped[*ledger.ForeignError](a, b) &&
		isA[*ledger.FailedError](a) == isA[*ledger.FailedError](b) && isA[*ledger.DamageError](a) == isA[*ledger.DamageError](b)
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func sameTyped[E error](a, b error) bool {
	var ea, eb E
	return errors.As(a, &ea) == errors.As(b, &eb) && reflect.DeepEqual(ea, eb)
}

// same compares everything that can be seen of a and b; nil is empty.
func same(a, b subject) error {
	if (a.Failed() == nil) != (b.Failed() == nil) {
		return fmt.Errorf("its failure is %v, not %v", a.Failed(), b.Failed())
	}
	return sameContents(a, b)
}

// sameContents is same without regard to failures.
func sameContents(a, b subject) error {
	if got, want := fmt.Sprint(facts(a)...), fmt.Sprint(facts(b)...); got != want {
		return fmt.Errorf("it holds\n%s, not\n%s", got, want)
	}
	return errors.Join(sameTerms(a, b), sameEntries(a, b), sameBlocks(a, b), sameEnd(a, b))
}

func facts(l subject) []any {
	applied, config := l.RaftApplied()
	sealed, sealedConfig := l.Sealed()
	return []any{
		fmt.Sprintf("raft view %v: [%d, %d], %+v, ", l.HasRaftView(), l.FirstIndex(), l.LastIndex(), l.HardState()),
		fmt.Sprintf("applied %d %+v, sealed %v %+v, ", applied, config, sealed, sealedConfig),
		fmt.Sprintf("synced view %v to %v, %+v, ", l.Head(), l.HeadCursor(), l.HeadConfig()),
		fmt.Sprintf("log %v after %v, raft id %v, removed %d, ", l.LogID(), l.Before(), l.RaftID(), l.Removed()),
		fmt.Sprintf("full %v", l.Full(time.Unix(1, 0))),
	}
}

func sameEnd(a, b subject) error {
	got, err := a.End()
	want, wantErr := b.End()
	if fmt.Sprint(got) != fmt.Sprint(want) || !sameError(err, wantErr) {
		return fmt.Errorf("its end is %+v, %v, not %+v, %v", got, err, want, wantErr)
	}
	return nil
}

func sameTerms(a, b subject) error {
	for i := a.FirstIndex() - min(2, a.FirstIndex()); i <= a.LastIndex()+1; i++ {
		got, err := a.Term(i)
		want, wantErr := b.Term(i)
		if got != want || !sameError(err, wantErr) {
			return fmt.Errorf("term at %d is %d, %v, not %d, %v", i, got, err, want, wantErr)
		}
	}
	return nil
}

// sameEntries reads from a few places as far as there is anything and one index
// further, with and without a limit that binds.
func sameEntries(a, b subject) error {
	first, last := a.FirstIndex(), a.LastIndex()
	decided := max(a.HardState().Commit, a.HeadCursor().Index)
	for _, limit := range []uint64{0, 200 << 10, 1 << 30} {
		for _, lo := range []codec.Index{first - 1, first, (first + last) / 2, last + 1} {
			for _, hi := range []codec.Index{lo, last + 1, last + 2} {
				got, err := a.Entries(lo, hi, limit)
				want, wantErr := b.Entries(lo, hi, limit)
				if !sameError(err, wantErr) || !equalEntries(got, want) {
					return fmt.Errorf("entries [%d, %d) in %d bytes: %d, %v, not %d, %v", lo, hi, limit, len(got), err, len(want), wantErr)
				}
			}
		}
		for _, from := range []codec.Index{0, 1, decided / 2, decided} {
			for _, to := range []codec.Index{from, decided, decided + 1} {
				got, err := a.Read(from, to, int(limit))
				want, wantErr := b.Read(from, to, int(limit))
				if !sameError(err, wantErr) || !equalEntries(got, want) {
					return fmt.Errorf("read [%d, %d] in %d bytes: %d, %v, not %d, %v", from, to, limit, len(got), err, len(want), wantErr)
				}
			}
		}
	}
	return nil
}

func equalEntries(a, b []codec.Entry) bool {
	return slices.EqualFunc(a, b, func(a, b codec.Entry) bool {
		return a.Index == b.Index && a.Term == b.Term && a.Kind == b.Kind && string(a.Data) == string(b.Data)
	})
}

func sameBlocks(a, b subject) error {
	n := a.Head().Blocks
	for _, i := range []uint64{0, n / 2, n - min(n, 1), n} {
		got, err := a.Block(i)
		want, wantErr := b.Block(i)
		if string(got) != string(want) || !sameError(err, wantErr) {
			return fmt.Errorf("block %d: %d bytes, %v, not %d bytes, %v", i, len(got), err, len(want), wantErr)
		}
	}
	for i := range n + 2 {
		root, err := a.RootAt(i)
		wantRoot, wantErr := b.RootAt(i)
		if root != wantRoot || !sameError(err, wantErr) {
			return fmt.Errorf("root at %d: %v, %v, not %v, %v", i, root, err, wantRoot, wantErr)
		}
		for _, r := range [][2]uint64{{0, i}, {i, n}, {i, n / 2}} {
			leaves, err := a.Leaves(r[0], r[1])
			wantLeaves, wantErr := b.Leaves(r[0], r[1])
			nodes, err2 := a.Range(r[0], r[1])
			wantNodes, wantErr2 := b.Range(r[0], r[1])
			if !slices.Equal(leaves, wantLeaves) || !slices.Equal(nodes, wantNodes) || !sameError(err, wantErr) || !sameError(err2, wantErr2) {
				return fmt.Errorf("leaves or range of %v: %v, %v, not %v, %v", r, leaves, nodes, wantLeaves, wantNodes)
			}
		}
	}
	for i := range a.HeadCursor().Index + 2 {
		number, first, err := a.BlockOf(i)
		wantNumber, wantFirst, wantErr := b.BlockOf(i)
		if number != wantNumber || first != wantFirst || !sameError(err, wantErr) {
			return fmt.Errorf("entry %d is in block %d from %d, %v, not in %d from %d, %v", i, number, first, err, wantNumber, wantFirst, wantErr)
		}
	}
	return nil
}
