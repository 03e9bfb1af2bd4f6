package codec

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every way of writing Cancel{Lease: 1} and RaftBatch that is not the canonical
// one is refused (FAULTS H1).
func TestDecodeStrict(t *testing.T) {
	require.NoError(t, Decode([]byte{0xa1, 1, 1}, &Cancel{}))
	for name, data := range map[string][]byte{
		"nothing":                  {},
		"number in 2 bytes":        {0xa1, 1, 0x18, 1},
		"number in 3 bytes":        {0xa1, 1, 0x19, 0, 1},
		"number in 5 bytes":        {0xa1, 1, 0x1a, 0, 0, 0, 1},
		"number in 9 bytes":        {0xa1, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0, 1},
		"255 in 3 bytes":           {0xa1, 1, 0x19, 0, 255},
		"65535 in 5 bytes":         {0xa1, 1, 0x1a, 0, 0, 255, 255},
		"key in 2 bytes":           {0xa1, 0x18, 1, 1},
		"head in 2 bytes":          {0xb8, 1, 1, 1},
		"doubled key":              {0xa2, 1, 1, 1, 1},
		"unknown key":              {0xa2, 1, 1, 2, 1},
		"only an unknown key":      {0xa1, 2, 1},
		"keys out of order":        {0xa2, 2, 1, 1, 1},
		"missing key":              {0xa0},
		"key as text":              {0xa1, 0x61, '1', 1},
		"negative key":             {0xa1, 0x20, 1},
		"field name as key":        {0xa1, 0x65, 'L', 'e', 'a', 's', 'e', 1},
		"indefinite map":           {0xbf, 1, 1, 0xff},
		"self-described":           {0xd9, 0xd9, 0xf7, 0xa1, 1, 1},
		"tag on the value":         {0xa1, 1, 0xc1, 1},
		"big number":               {0xa1, 1, 0xc2, 0x41, 1},
		"trailing byte":            {0xa1, 1, 1, 0},
		"cut":                      {0xa1, 1},
		"float":                    {0xa1, 1, 0xf9, 0x3c, 0},
		"negative":                 {0xa1, 1, 0x20},
		"null":                     {0xa1, 1, 0xf6},
		"undefined":                {0xa1, 1, 0xf7},
		"simple value":             {0xa1, 1, 0xe1},
		"true for a number":        {0xa1, 1, 0xf5},
		"text for a number":        {0xa1, 1, 0x61, '1'},
		"array for a map":          {0x81, 1},
		"number for a map":         {1},
		"a reserved head":          {0xa1, 1, 0x1c},
		"a break":                  {0xff},
		"string longer than input": {0xa1, 1, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255},
	} {
		require.ErrorIs(t, Decode(data, &Cancel{}), ErrMessage, name)
	}
	for name, data := range map[string][]byte{
		"null for a list":          {0xa1, 1, 0xf6},
		"null in a list":           {0xa1, 1, 0x81, 0xf6},
		"indefinite list":          {0xa1, 1, 0x9f, 0xff},
		"indefinite byte string":   {0xa1, 1, 0x81, 0x5f, 0x41, 1, 0xff},
		"text for bytes":           {0xa1, 1, 0x81, 0x61, 'x'},
		"array of numbers":         {0xa1, 1, 0x81, 0x81, 1},
		"list longer than input":   {0xa1, 1, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0},
		"list above the limit":     append([]byte{0xa1, 1, 0x19, 0x04, 0x01}, bytes.Repeat([]byte{0x40}, 1025)...),
		"bytes longer than input":  {0xa1, 1, 0x81, 0x5a, 255, 255, 255, 255},
		"bytes with a 9-byte head": {0xa1, 1, 0x81, 0x5b, 0, 0, 0, 0, 0, 0, 0, 1, 7},
	} {
		require.ErrorIs(t, Decode(data, &RaftBatch{}), ErrMessage, name)
	}
}

// The rules of single fields: hashes of exactly 32 bytes, booleans, small
// numbers, arrays of exactly so many members, UTF-8, optional fields.
func TestDecodeStrictFields(t *testing.T) {
	replace := func(m Message, old, new string) []byte {
		data, err := Encode(m)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(data), old), "%T", m)
		return []byte(strings.Replace(string(data), old, new, 1))
	}
	hello := &Hello{Group: hashOf(0x11), Nonce: hashOf(0x22)}
	h := string(bytes.Repeat([]byte{0x22}, 32))
	fetch := &Fetch{Lease: 1, Ranges: []WantRange{{From: 5, To: 6}}}
	request := &AvailabilityRequest{Requester: "peer"}
	for _, c := range []struct {
		name string
		m    Message
		data []byte
	}{
		{"a hash of 31 bytes", hello, replace(hello, "\x58\x20"+h, "\x58\x1f"+h[1:])},
		{"a hash of 33 bytes", hello, replace(hello, "\x58\x20"+h, "\x58\x21"+h+"!")},
		{"an empty hash", hello, replace(hello, "\x58\x20"+h, "\x40")},
		{"a hash of numbers", hello, replace(hello, "\x58\x20"+h, "\x98\x20"+strings.Repeat("\x01", 32))},
		{"a range of 2", fetch, replace(fetch, "\x83\x05\x06\xf4", "\x82\x05\x06")},
		{"a range of 4", fetch, replace(fetch, "\x83\x05\x06\xf4", "\x84\x05\x06\xf4\x00")},
		{"a range as a map", fetch, replace(fetch, "\x83\x05\x06\xf4", "\xa1\x01\x05")},
		{"a number for a boolean", fetch, replace(fetch, "\x83\x05\x06\xf4", "\x83\x05\x06\x00")},
		{"text that is not UTF-8", request, replace(request, "peer", "pe\xffr")},
		{"bytes for text", request, replace(request, "\x64peer", "\x44peer")},
		{"an optional list, empty", request, append([]byte{0xa5}, replace(request, "\x64peer", "\x64peer\x05\x80")[1:]...)},
		{"a role above 255", &Join{}, replace(&Join{RaftID: 1, Role: RoleStandby}, "\x02\x02", "\x02\x19\x01\x02")},
	} {
		require.ErrorIs(t, Decode(c.data, newMessage(TypeOf(c.m))), ErrMessage, c.name)
	}
}

// Blocks has two decoders; both are strict.
func TestDecodeBlocksStrict(t *testing.T) {
	good := []byte{0xa4, 1, 1, 2, 2, 3, 0xf4, 4, 0x41, 7}
	_, err := DecodeBlocks(good)
	require.NoError(t, err)
	bad := [][]byte{
		append(bytes.Clone(good), 0),
		{0xa4, 1, 1, 2, 2, 3, 0, 4, 0x41, 7},
		{0xa4, 1, 1, 2, 2, 3, 0xf6, 4, 0x41, 7},
		{0xa4, 1, 0x18, 1, 2, 2, 3, 0xf4, 4, 0x41, 7},
		{0xa4, 1, 1, 2, 2, 3, 0xf4, 4, 0x40},
		{0xa4, 2, 2, 1, 1, 3, 0xf4, 4, 0x41, 7},
		{0xa4, 1, 1, 2, 2, 3, 0xf4, 4, 0x58, 1, 7},
		{0xa4, 1, 1, 2, 0x1b, 255, 0, 0, 0, 0, 0, 0, 0, 3, 0xf4, 4, 0x41, 7},
		{0xa4, 1, 1, 2, 2, 3, 0xf4, 4, 0x5a, 0xff, 0, 0, 0, 7},
	}
	for n := range good {
		bad = append(bad, good[:n])
	}
	for _, data := range bad {
		_, err := DecodeBlocks(data)
		require.ErrorIs(t, err, ErrMessage, "%x", data)
		require.ErrorIs(t, Decode(data, &Blocks{}), ErrMessage, "%x", data)
	}
}

func TestDecodeCommandStrict(t *testing.T) {
	good := []byte{0x84, 5, 1, 1, 0x41, 7}
	_, err := DecodeCommand(good)
	require.NoError(t, err)
	bad := [][]byte{
		append(bytes.Clone(good), 0),
		{0x85, 5, 1, 1, 0x41, 7, 0},
		{0x84, 0x18, 5, 1, 1, 0x41, 7},
		{0x84, 5, 1, 1, 0x61, 7},
		{0x9f, 5, 1, 1, 0x41, 7, 0xff},
		{0x84, 5, 1, 1, 0x5f, 0x41, 7, 0xff},
		{0x84, 5, 1, 1, 0x5b, 255, 255, 255, 255, 255, 255, 255, 255},
	}
	for n := range good {
		bad = append(bad, good[:n])
	}
	for _, data := range bad {
		_, err := DecodeCommand(data)
		require.ErrorIs(t, err, ErrCommand, "%x", data)
	}
}

// bombs are inputs of about size bytes that try to make a decoder take more
// memory than they have, or more stack.
func bombs(size int) map[string][]byte {
	fill := func(head string, with ...byte) []byte {
		return append([]byte(head), bytes.Repeat(with, max(0, size-len(head))/len(with))...)
	}
	lists := "\xa1\x01\x99\x04\x00" // {1: [1024 …]}
	return map[string][]byte{
		"nested arrays":               fill("", 0x81),
		"nested maps":                 fill("", 0xa1, 1),
		"nested tags":                 fill("", 0xc1),
		"nested indefinite":           fill("", 0x9f),
		"2^64 - 1 items":              fill("\xa1\x01\x9b\xff\xff\xff\xff\xff\xff\xff\xff", 0),
		"2^64 - 1 pairs":              fill("\xbb\xff\xff\xff\xff\xff\xff\xff\xff", 0),
		"2^64 - 1 bytes":              fill("\xa1\x01\x5b\xff\xff\xff\xff\xff\xff\xff\xff", 0),
		"2^32 - 1 items":              fill("\xa1\x01\x9a\xff\xff\xff\xff", 0),
		"one list of empty bytes":     fill("\xa1\x01\x9a"+length(size-7), 0x40),
		"1024 empty bytes":            fill(lists, 0x40),
		"1024 empty maps":             fill(lists, 0xa0),
		"1024 empty arrays":           fill(lists, 0x80),
		"1024 lists of 1024":          fill(lists, append([]byte{0x99, 4, 0}, bytes.Repeat([]byte{0x60}, 1024)...)...),
		"members with empty maps":     fill("\xa2\x01\x01\x05\xa3\x01\x00\x02\x00\x03\x99\x04\x00", 0xa0),
		"256 members, 1024 addresses": membersBomb(),
		"groups with empty maps":      fill("\xa5\x01\x61p\x02\x80\x03\x00\x04\x99\x04\x00", 0xa0),
		"empty hashes":                fill("\xa6\x01\x00\x02\x00\x03\x00\x04\x99\x04\x00", 0x40),
	}
}

// membersBomb is a well-formed Answer of 263 KB with 262,144 empty addresses: as
// Go strings they take 4 MiB.
func membersBomb() []byte {
	member := append([]byte{0xa4, 1, 1, 2, 0x61, 'p', 3, 1, 4, 0x99, 4, 0}, bytes.Repeat([]byte{0x60}, 1024)...)
	return append([]byte("\xa2\x01\x01\x05\xa3\x01\x00\x02\x00\x03\x99\x01\x00"), bytes.Repeat(member, 256)...)
}

// length is n as the 4 bytes of a CBOR head.
func length(n int) string { return string(AppendFrameHead(nil, 0, max(0, n))[1:]) }

// No input takes more than twice its size and 1 MiB, whether it is a bomb or
// the greatest legal message (FAULTS H1).
func TestDecodeMemory(t *testing.T) {
	within := func(name string, data []byte, decode func([]byte) error, ok bool) {
		t.Helper()
		used := allocated(func() {
			err := decode(data)
			if (err == nil) != ok {
				t.Errorf("%s: %v", name, err)
			}
		})
		if bound := uint64(2*len(data) + 1<<20); used > bound {
			t.Errorf("%s: %d bytes for an input of %d", name, used, len(data))
		}
	}
	for typ := range frameTypes {
		decode := func(data []byte) error { return Decode(data, newMessage(typ)) }
		for name, data := range bombs(typ.Limit()) {
			within(typ.String()+": "+name, data, decode, false)
		}
		data, err := Encode(largest()[typ])
		require.NoError(t, err)
		within(typ.String()+": the largest", data, decode, true)
	}
	odd, err := Encode(&RaftBatch{Messages: repeat(1000, make([]byte, 4097))}) // just above a size class
	require.NoError(t, err)
	within("RaftBatch of odd sizes", odd, func(data []byte) error { return Decode(data, &RaftBatch{}) }, true)
	var b Block
	for name, data := range bombs(MaxBlock) {
		within("block: "+name, data, func(data []byte) error { return DecodeBlock(data, &b) }, false)
		within("command: "+name, data, func(data []byte) error { _, err := DecodeCommand(data); return err }, false)
		within("Blocks: "+name, data, func(data []byte) error { _, err := DecodeBlocks(data); return err }, false)
		within("context: "+name, data, func(data []byte) error { _, err := DecodeConfigContext(data); return err }, false)
		within("configuration: "+name, data, func(data []byte) error { _, err := DecodeConfiguration(data); return err }, false)
	}
}

// checkShape refuses by itself, before the library sees the bytes, whatever
// messages are not made of.
func TestCheckShape(t *testing.T) {
	require.NoError(t, checkShape([]byte("\xa3\x01\x82\x18\x18\xf5\x02\x61x\x17\xa1\x00\x41x")))
	for name, data := range map[string]string{
		"nothing": "", "trailing": "\x01\x01", "cut": "\x82\x01",
		"long number": "\x18\x01", "long length": "\x58\x01x", "long count": "\x98\x01\x01",
		"doubled key": "\xa2\x01\x01\x01\x01", "keys out of order": "\xa2\x02\x01\x01\x01", "text key": "\xa1\x61x\x01",
		"negative": "\x20", "tag": "\xc1\x01", "float": "\xf9\x00\x00", "null": "\xf6", "simple": "\xe0",
		"indefinite": "\x9f\xff", "reserved": "\x1c",
		"17 keys":       "\xb1" + strings.Repeat("\x01\x01", 17),
		"1025 items":    "\x99\x04\x01" + strings.Repeat("\x00", 1025),
		"7 levels":      strings.Repeat("\x81", 7) + "\x00",
		"too many":      "\x89" + strings.Repeat("\x99\x04\x00"+strings.Repeat("\x00", 1024), 9),
		"long string":   "\x42x",
		"endless array": "\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		require.Error(t, checkShape([]byte(data)), name)
	}
	require.NoError(t, checkShape([]byte(strings.Repeat("\x81", 6)+"\x00")))
	bomb := membersBomb()
	require.Zero(t, testing.AllocsPerRun(10, func() { _ = checkShape(bomb) }))
}

// The item limit leaves room for the greatest legal message.
func TestItemLimit(t *testing.T) {
	data, err := Encode(largest()[TypeAnswer])
	require.NoError(t, err)
	s := shape{cborReader: cborReader{rest: data}}
	s.item(maxDepth)
	require.NoError(t, s.err)
	require.Equal(t, 5820, s.items)
	require.Less(t, s.items, maxItems)
}
