package virtual

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/logmesh/logmesh/actors"
	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/internal/consensus"
	"github.com/logmesh/logmesh/internal/ledger"
)

const (
	ledgerDir = "/ledger"
	logTerm   = 1
)

// logWriter makes the blocks of a log without a group: the founding, the other
// members, and commands of one client session with random payloads.
type logWriter struct {
	t       testing.TB
	dice    *rand.ChaCha8
	last    codec.Index
	fill    codec.BlockFill
	open    []codec.Entry // of the block that is not closed
	blocks  [][]byte
	bytes   int64
	session codec.SessionID
	seq     uint64
}

// writeLog makes at least bytes of whole blocks, with entries of size bytes of
// payload each. The first voters of the members vote.
func writeLog(t testing.TB, members []*member, voters int, size int, bytes int64) *logWriter {
	w := &logWriter{t: t, dice: rand.NewChaCha8([32]byte{7})}
	for i, m := range members {
		w.admit(m, i < voters, voters)
	}
	w.session = codec.SessionID(w.last + 1)
	w.command(codec.Command{Payload: make([]byte, codec.OpenNonce)})
	payload := make([]byte, size)
	for w.bytes < bytes || len(w.open) > 0 {
		_, _ = w.dice.Read(payload)
		w.seq++
		w.command(codec.Command{Session: w.session, Seq: w.seq, Low: w.seq, Payload: payload})
	}
	return w
}

func (w *logWriter) admit(m *member, votes bool, target int) {
	ctx := codec.ConfigContext{Peer: m.id, Role: codec.RoleObserver, Addrs: []string{m.addr}}
	if votes {
		ctx.Role, m.role = codec.RoleVoter, codec.RoleVoter
	}
	var e codec.Entry
	var err error
	if w.last == 0 {
		ctx.Nonce, ctx.Target = make([]byte, codec.FoundingNonce), target
		e, err = consensus.Founding(m.raftID(), ctx)
	} else {
		e, err = consensus.Admission(w.last+1, m.raftID(), ctx)
	}
	require.NoError(w.t, err)
	w.add(e)
}

func (w *logWriter) command(c codec.Command) {
	w.add(codec.Entry{Index: w.last + 1, Term: logTerm, Kind: codec.KindCommand, Data: codec.AppendCommand(nil, c)})
}

func (w *logWriter) add(e codec.Entry) {
	w.last = e.Index
	w.open = append(w.open, e)
	if !w.fill.Add(len(e.Data)) {
		return
	}
	block, err := codec.AppendBlock(nil, w.open)
	require.NoError(w.t, err)
	w.blocks, w.open = append(w.blocks, block), w.open[:0]
	w.bytes += int64(len(block))
}

// fillLedger gives m a ledger that holds the log up to a block, as a member has it
// that caught up.
func (w *logWriter) fillLedger(m *member, blocks int) {
	m.disk = vfs.NewMem()
	l, err := ledger.Open(m.ledgerOptions())
	require.NoError(w.t, err)
	for from := 0; from < blocks; {
		to, size := from, 0
		for to < blocks && size < 4<<20 {
			size += len(w.blocks[to])
			to++
		}
		require.NoError(w.t, l.Release(uint64(from), w.blocks[from:to]))
		from = to
	}
	_, err = l.AdoptHead()
	require.NoError(w.t, err)
	require.NoError(w.t, l.Close())
}

func (m *member) ledgerOptions() ledger.Options {
	return ledger.Options{FS: m.disk, Dir: ledgerDir, Group: groupID, Peer: m.id, Salt: m.salt, Fold: actors.Fold}
}

func (m *member) raftID() codec.RaftID { return codec.RaftIDOf(m.id, m.salt) }

func saltOf(place int) (salt [16]byte) {
	binary.BigEndian.PutUint64(salt[:], uint64(place)+1)
	return salt
}
