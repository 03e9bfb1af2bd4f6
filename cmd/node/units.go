package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/logmesh/logmesh/codec"
)

// megabytes is n bytes in MB, which are millions, with one decimal.
func megabytes[T ~int64 | ~uint64 | ~float64 | ~int](n T) string {
	return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64)
}

// grouped is n with a comma between thousands.
func grouped[T ~int | ~int64 | ~uint64](n T) string {
	s := strconv.FormatUint(uint64(n), 10)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

// roughly is d for people: seconds with one decimal below a minute, else minutes
// and seconds.
func roughly(d time.Duration) string {
	if d < time.Minute {
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return d.Round(time.Second).String()
}

// byteRate is a flag's value: bytes per second, with an optional unit.
type byteRate int64

var rateUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
}

func (r *byteRate) String() string { return strconv.FormatInt(int64(*r), 10) }

// Type names the value in help texts.
func (r *byteRate) Type() string { return "BYTES/s" }

// Set reads a number of bytes, or one with a unit as in 8MiB or 8MB/s.
func (r *byteRate) Set(s string) error {
	number, factor := strings.TrimSuffix(s, "/s"), int64(1)
	for _, u := range rateUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > 1<<53/factor {
		return fmt.Errorf("it must be bytes per second, as in 8388608 or 8MiB; 0 means no limit")
	}
	*r = byteRate(n * factor)
	return nil
}

// sizedRoot is the value of --trust.
type sizedRoot codec.SizedRoot

func (r *sizedRoot) String() string {
	if r.Blocks == 0 {
		return ""
	}
	return fmt.Sprintf("%d:%s", r.Blocks, r.Root)
}

// Type names the value in help texts.
func (r *sizedRoot) Type() string { return "BLOCKS:ROOT" }

// Set reads how many blocks, a colon, and the root over them in hexadecimal.
func (r *sizedRoot) Set(s string) error {
	blocks, root, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(blocks, 10, 64)
	if err != nil || n == 0 {
		return fmt.Errorf("%q: it must be BLOCKS:ROOT, as in 1024:5c3f…, a number of blocks and the root over them", s)
	}
	h, err := codec.ParseHash(root)
	if err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	r.Blocks, r.Root = n, h
	return nil
}
