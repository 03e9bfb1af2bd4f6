package codec

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files and the fuzz seeds; a changed byte breaks a format")

// vector is one entry of a golden file: named bytes, with a comment for people.
type vector struct {
	name, comment string
	data          []byte
}

// writeVectors renders vectors: "[name]", comment lines with #, and the bytes
// in hexadecimal, 32 a line.
func writeVectors(about string, vectors []vector) []byte {
	var out bytes.Buffer
	comment(&out, about)
	for _, v := range vectors {
		fmt.Fprintf(&out, "\n[%s]\n", v.name)
		comment(&out, v.comment)
		for rest := v.data; len(rest) > 0; {
			n := min(32, len(rest))
			fmt.Fprintf(&out, "%x\n", rest[:n])
			rest = rest[n:]
		}
	}
	return out.Bytes()
}

func comment(out *bytes.Buffer, text string) {
	if text == "" {
		return
	}
	for line := range strings.Lines(text) {
		fmt.Fprintf(out, "# %s\n", strings.TrimSpace(line))
	}
}

// readVectors parses what writeVectors wrote, without the comments.
func readVectors(t *testing.T, text []byte) []vector {
	var out []vector
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			out = append(out, vector{name: strings.Trim(line, "[]")})
		default:
			b, err := hex.DecodeString(line)
			require.NoError(t, err)
			last := &out[len(out)-1]
			last.data = append(last.data, b...)
		}
	}
	return out
}

// golden compares vectors with the file, or rewrites the file under -update,
// and gives the file's vectors by name.
func golden(t *testing.T, file, about string, vectors []vector) map[string][]byte {
	t.Helper()
	path := filepath.Join("testdata", file)
	want := writeVectors(about, vectors)
	if *update {
		require.NoError(t, os.WriteFile(path, want, 0o644))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(got), string(want), "the bytes of a format changed: see %s", path)
	out := map[string][]byte{}
	for _, v := range readVectors(t, got) {
		require.NotContains(t, out, v.name)
		out[v.name] = v.data
	}
	require.Len(t, out, len(vectors))
	return out
}

func diagnose(t *testing.T, data []byte) string {
	text, err := cbor.Diagnose(data)
	require.NoError(t, err)
	return text
}

func TestGoldenMessages(t *testing.T) {
	var vectors []vector
	for _, s := range samples() {
		data, err := Encode(s.m)
		require.NoError(t, err, s.name)
		note := fmt.Sprintf("frame type %#x\n%s", uint8(TypeOf(s.m)), diagnose(t, data))
		vectors = append(vectors, vector{s.name, note, data})
		seed(t, "Fuzz"+TypeOf(s.m).String(), s.name, data)
	}
	file := golden(t, "messages.txt", "Bodies of frames: the canonical encoding of every message.", vectors)
	seen := map[FrameType]bool{}
	for _, s := range samples() {
		seen[TypeOf(s.m)] = true
		m := newMessage(TypeOf(s.m))
		require.NoError(t, Decode(file[s.name], m), s.name)
		again, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, file[s.name], again, s.name)
	}
	require.Len(t, seen, len(frameTypes), "a message has no sample")
}

func TestGoldenFrame(t *testing.T) {
	frame, err := AppendFrame(nil, &Cancel{Lease: 300})
	require.NoError(t, err)
	file := golden(t, "frame.txt", "Whole frames: type (1 byte), length of the body (4 bytes, big endian), body.", []vector{
		{"Cancel of lease 300", "", frame},
		{"head of a Blocks of 70000 bytes", "", AppendFrameHead(nil, TypeBlocks, 70000)},
	})
	typ, body, err := ReadFrame(bytes.NewReader(file["Cancel of lease 300"]), nil, TypeCancel)
	require.NoError(t, err)
	require.Equal(t, TypeCancel, typ)
	var m Cancel
	require.NoError(t, Decode(body, &m))
	require.Equal(t, Cancel{Lease: 300}, m)
	seed(t, "FuzzFrame", "Cancel", frame)
}

func TestGoldenCommands(t *testing.T) {
	commands := []struct {
		name string
		c    Command
	}{
		{"open a session", Command{Payload: bytes.Repeat([]byte{0xab}, OpenNonce)}},
		{"first command", Command{Session: 2, Seq: 1, Low: 1, Payload: []byte("x")}},
		{"later command", Command{Session: 1 << 33, Seq: 300, Low: 24, Payload: bytes.Repeat([]byte("p"), 24)}},
		{"without payload", Command{Session: 2, Seq: 1<<64 - 1, Low: 1 << 16}},
	}
	var vectors []vector
	for _, c := range commands {
		data := AppendCommand(nil, c.c)
		vectors = append(vectors, vector{c.name, diagnose(t, data), data})
		seed(t, "FuzzCommand", c.name, data)
	}
	file := golden(t, "command.txt", "Command envelopes: [session, seq, low, payload].", vectors)
	for _, c := range commands {
		got, err := DecodeCommand(file[c.name])
		require.NoError(t, err)
		require.Equal(t, c.c.Session, got.Session)
		require.Equal(t, c.c.Seq, got.Seq)
		require.Equal(t, c.c.Low, got.Low)
		require.True(t, bytes.Equal(c.c.Payload, got.Payload))
	}
}

func TestGoldenConfigurations(t *testing.T) {
	contexts := []struct {
		name string
		c    ConfigContext
	}{
		{"context of a founding", ConfigContext{Peer: alice, Role: RoleVoter, Addrs: []string{"/ip4/192.0.2.1/tcp/4001"}, Nonce: bytes.Repeat([]byte{0xcd}, FoundingNonce), Target: 3}},
		{"context of a recovery", ConfigContext{Peer: alice, Role: RoleVoter, Nonce: bytes.Repeat([]byte{0xce}, FoundingNonce), Target: 3, Recovers: hashOf(0x43)}},
		{"context of an addition", ConfigContext{Peer: bob, Role: RoleStandby, Addrs: []string{"/ip4/192.0.2.2/tcp/4001"}}},
		{"context of a removal", ConfigContext{Peer: bob}},
	}
	var vectors []vector
	for _, c := range contexts {
		data, err := EncodeConfigContext(c.c)
		require.NoError(t, err)
		vectors = append(vectors, vector{c.name, diagnose(t, data), data})
		seed(t, "FuzzConfigContext", c.name, data)
	}
	configs := map[string]Configuration{"configuration": sampleConfig(), "configuration after two recoveries": recovered(), "configuration before entry 1": {}}
	for _, name := range []string{"configuration", "configuration after two recoveries", "configuration before entry 1"} {
		data, err := EncodeConfiguration(configs[name])
		require.NoError(t, err)
		vectors = append(vectors, vector{name, diagnose(t, data), data})
		seed(t, "FuzzConfiguration", name, data)
	}
	file := golden(t, "config.txt", "The context of configuration entries, and configurations as the ledger and Answer hold them.", vectors)
	for _, c := range contexts {
		got, err := DecodeConfigContext(file[c.name])
		require.NoError(t, err)
		require.Equal(t, c.c, got)
	}
	got, err := DecodeConfiguration(file["configuration"])
	require.NoError(t, err)
	require.Equal(t, sampleConfig(), got)
	got, err = DecodeConfiguration(file["configuration after two recoveries"])
	require.NoError(t, err)
	require.Equal(t, recovered(), got)
}

func TestGoldenBlocks(t *testing.T) {
	blocks := sampleBlocks()
	var vectors []vector
	for _, b := range blocks {
		data, err := AppendBlock(nil, b.entries)
		require.NoError(t, err, b.name)
		leaf := Leaf(data)
		vectors = append(vectors, vector{b.name + ": leaf", fmt.Sprintf("of %d bytes", len(data)), leaf[:]})
		if len(data) < 4<<10 {
			vectors = append(vectors, vector{b.name, diagnose(t, data), data})
			seed(t, "FuzzBlock", b.name, data)
		}
	}
	file := golden(t, "block.txt", "Blocks: {1: first index, 2: runs of terms, 3: runs of kinds, 4: lengths, 5: payload}, and their leaves.\n"+
		"Payloads of long entries are the byte 0x61 over and over.", vectors)
	for _, b := range blocks {
		if data, ok := file[b.name]; ok {
			var got Block
			require.NoError(t, DecodeBlock(data, &got))
			requireEntries(t, b.entries, got.Entries())
		}
	}
}

func TestGoldenTree(t *testing.T) {
	tree := NewTree()
	var vectors []vector
	for size := range uint64(70) {
		if size < 10 || size == 31 || size == 32 || size == 33 || size == 64 || size == 69 {
			root := tree.Root()
			vectors = append(vectors, vector{fmt.Sprintf("root of %d", size), "", root[:]})
		}
		tree.Append(Leaf([]byte{byte(size)}), nil)
	}
	golden(t, "tree.txt", "Roots of the block tree whose n-th leaf, from 0, is of the one-byte block n.", vectors)
}

func TestGoldenIDs(t *testing.T) {
	network := NetworkIDOf("local")
	group, log, leaf := GroupIDOf(network, "main"), LogIDOf([]byte("entry 1")), Leaf([]byte("block"))
	node, empty := Node(hashOf(1), hashOf(2)), EmptyRoot()
	id := RaftIDOf(alice, [16]byte{1, 2, 3})
	var raft []byte
	for shift := 56; shift >= 0; shift -= 8 {
		raft = append(raft, byte(id>>shift))
	}
	golden(t, "ids.txt", "Hashes of names and values.", []vector{
		{"network local", `BLAKE3-256("logmesh/1/network/local")`, network[:]},
		{"group main", `BLAKE3-256("logmesh/1/group/" ‖ network id ‖ "main")`, group[:]},
		{"log", `BLAKE3-256(0x02 ‖ "entry 1")`, log[:]},
		{"leaf", `BLAKE3-256(0x00 ‖ "block")`, leaf[:]},
		{"node", "BLAKE3-256(0x01 ‖ 32 × 0x01 ‖ 32 × 0x02)", node[:]},
		{"root of nothing", "BLAKE3-256 of nothing", empty[:]},
		{"raft id", `first 8 bytes of BLAKE3-256("12D3KooWAlice" ‖ 01 02 03 00 …, 16 bytes)`, raft},
	})
}

// seed keeps data as a fuzz seed of target, under -update.
func seed(t *testing.T, target, name string, data []byte) {
	t.Helper()
	if !*update {
		return
	}
	dir := filepath.Join("testdata", "fuzz", target)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	file := strings.ReplaceAll(name, " ", "-")
	text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", data)
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
}
