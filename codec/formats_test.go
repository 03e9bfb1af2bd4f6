package codec

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pageRows are the rows of all tables of FORMATS.md, cell by cell.
func pageRows(t *testing.T) [][]string {
	page, err := os.ReadFile("FORMATS.md")
	require.NoError(t, err)
	var rows [][]string
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// FORMATS.md has every frame type with its number and limit, and no other.
func TestFormatsPageFrames(t *testing.T) {
	onPage := map[string]string{}
	for _, row := range pageRows(t) {
		if strings.HasPrefix(row[0], "0x") && len(row) == 4 {
			onPage[row[0]] = row[1] + " " + row[2]
		}
	}
	inCode := map[string]string{}
	for typ := range frameTypes {
		inCode[fmt.Sprintf("%#x", uint8(typ))] = typ.String() + " " + number(typ.Limit())
	}
	require.Equal(t, inCode, onPage)
}

// FORMATS.md has every field of every map with its key, and whether it is
// optional.
func TestFormatsPageKeys(t *testing.T) {
	onPage := map[string]string{}
	for _, row := range pageRows(t) {
		if strings.Contains(row[0], ".") && len(row) == 4 {
			onPage[row[0]] = row[1]
			if strings.HasPrefix(row[2], "optional") {
				onPage[row[0]] += " optional"
			}
		}
	}
	inCode := map[string]string{}
	values := []any{&GroupTag{}, &Configuration{}, &Member{}, &ConfigContext{}}
	for typ := range frameTypes {
		values = append(values, newMessage(typ))
	}
	for _, v := range values {
		typ := reflect.TypeOf(v).Elem()
		for i := range typ.NumField() {
			field := typ.Field(i)
			key, rest, _ := strings.Cut(field.Tag.Get("cbor"), ",")
			if strings.Contains(rest, "omitempty") || strings.Contains(rest, "omitzero") {
				key += " optional"
			}
			inCode[typ.Name()+"."+field.Name] = key
		}
	}
	require.Equal(t, inCode, onPage)
}

// FORMATS.md has the limits as the code has them.
func TestFormatsPageLimits(t *testing.T) {
	inCode := map[string]int{
		"BlockEntries": BlockEntries, "BlockBytes": BlockBytes, "MaxBlock": MaxBlock, "MaxEntryData": MaxEntryData,
		"MaxCommand": MaxCommand, "OpenNonce": OpenNonce, "FoundingNonce": FoundingNonce, "FrameHead": FrameHead,
		"MaxHeld": MaxHeld, "MaxSizes": MaxSizes, "MaxRanges": MaxRanges, "ProofGroup": ProofGroup,
		"MaxProposals": MaxProposals, "MaxProposal": MaxProposal, "MaxRaftBatch": MaxRaftBatch, "MaxGroups": MaxGroups,
		"MaxMembers": MaxMembers, "MaxAddrs": MaxAddrs, "MaxAddrBytes": MaxAddrBytes, "MaxVoters": MaxVoters, "MaxRemoved": MaxRemoved,
		"MaxBefore":       MaxBefore,
		"ProtocolVersion": ProtocolVersion,
	}
	want := map[string]string{}
	for name, n := range inCode {
		want[name] = number(n)
	}
	onPage := map[string]string{}
	for _, row := range pageRows(t) {
		if _, ok := inCode[row[0]]; ok && len(row) == 2 {
			onPage[row[0]] = row[1]
		}
	}
	require.Equal(t, want, onPage)
	page, err := os.ReadFile("FORMATS.md")
	require.NoError(t, err)
	for _, phrase := range []string{
		"nesting deeper than " + number(maxDepth), "maps of more than " + number(maxPairs) + " keys",
		"arrays of more than " + number(maxArray) + " items", number(maxItems) + " items in all",
		"signature of the machine, " + number(maxMachine) + " bytes", "it was told, " + number(maxReason) + " bytes",
		"up to the tree size, " + number(maxFrontier), "peer id, 1 to " + number(maxPeer) + " bytes", "busy; " + number(maxField) + " bytes",
	} {
		require.Contains(t, strings.Join(strings.Fields(string(page)), " "), phrase)
	}
}
