package machinetest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/logmesh/logmesh/codec"
	"github.com/logmesh/logmesh/machine"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The failures below are wanted: leave no files of them.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// sums is a correct machine, which the tests break in many ways. A command is a
// key and a number to add to it; a command without two bytes is rejected.
type sums struct {
	values map[byte]int
	digest machine.MultisetHash
}

func newSums() *sums { return &sums{values: make(map[byte]int)} }

func (s *sums) Signature() string    { return "sums/1" }
func (s *sums) Digest() codec.Digest { return s.digest.Sum() }

func (s *sums) Apply(b *machine.Batch) {
	for _, c := range b.Commands() {
		s.apply(b, c)
	}
}

func (s *sums) apply(b *machine.Batch, c []byte) {
	if len(c) != 2 {
		b.Reject("two bytes, please")
		return
	}
	old, there := s.values[c[0]]
	if there {
		s.digest.Remove(pair(c[0], old))
	}
	s.values[c[0]] = old + int(c[1])
	s.digest.Add(pair(c[0], s.values[c[0]]))
	b.Result(pair(c[0], s.values[c[0]]))
}

func (s *sums) Query(dst, query []byte) ([]byte, error) {
	if len(query) != 1 {
		return dst, fmt.Errorf("a query of %d bytes", len(query))
	}
	return append(dst, pair(query[0], s.values[query[0]])...), nil
}

func pair(key byte, value int) []byte { return fmt.Appendf(nil, "%d=%d", key, value) }

func drawPair(t *rapid.T) []byte {
	return []byte{rapid.ByteRange(0, 7).Draw(t, "key"), rapid.Byte().Draw(t, "add")}
}

func drawKey(t *rapid.T) []byte { return []byte{rapid.ByteRange(0, 7).Draw(t, "key")} }

// drawDetour draws a history, and the same additions in reversed order.
func drawDetour(t *rapid.T) (a, b [][]byte) {
	a = rapid.SliceOfN(rapid.Custom(drawPair), 1, 20).Draw(t, "history")
	for i := range a {
		b = append(b, a[len(a)-1-i])
	}
	return a, b
}

func suite(fresh func() machine.Machine) Suite {
	return Suite{Fresh: fresh, Command: drawPair, Query: drawKey, Same: drawDetour}
}

func TestCorrectMachineConforms(t *testing.T) {
	fresh := func() machine.Machine { return newSums() }
	suite(fresh).Run(t)
	Conform(t, fresh, drawPair)
}

// broken is sums with one part replaced.
type broken struct {
	*sums
	apply     func(*sums, *machine.Batch)
	query     func(s *sums, dst, query []byte) ([]byte, error)
	digest    func(*sums) codec.Digest
	signature func() string
}

func (m broken) Apply(b *machine.Batch) {
	if m.apply == nil {
		m.sums.Apply(b)
		return
	}
	m.apply(m.sums, b)
}

func (m broken) Query(dst, query []byte) ([]byte, error) {
	if m.query == nil {
		return m.sums.Query(dst, query)
	}
	return m.query(m.sums, dst, query)
}

func (m broken) Digest() codec.Digest {
	if m.digest == nil {
		return m.sums.Digest()
	}
	return m.digest(m.sums)
}

func (m broken) Signature() string {
	if m.signature == nil {
		return m.sums.Signature()
	}
	return m.signature()
}

func TestBrokenMachinesAreFound(t *testing.T) {
	instances := 0 // shared by all of them
	tests := []struct {
		name  string
		says  string
		fresh func() broken
	}{
		{"the order of a map reaches the result", "its outcome is", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				for _, c := range b.Commands() {
					s.apply(b, c)
					var all []byte
					for k, v := range s.values {
						all = append(all, pair(k, v)...)
					}
					b.Result(all)
				}
			}}
		}},
		{"the digest depends on where batches end", "the digest is", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				s.Apply(b)
				s.digest.Add([]byte("a batch"))
			}}
		}},
		{"the digest depends on the history", "two histories of the same state", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				for _, c := range b.Commands() {
					if s.apply(b, c); len(c) == 2 {
						sum := s.digest.Sum()
						s.digest.Add(append(sum[:], c...))
					}
				}
			}}
		}},
		{"the result depends on the place in the batch", "its outcome is", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				for i, c := range b.Commands() {
					s.apply(b, c)
					b.Result([]byte{byte(i)})
				}
			}}
		}},
		{"the end of a batch is not applied", "its outcome is", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				for i, c := range b.Commands() {
					s.apply(b, c)
					if i == 1 {
						return
					}
				}
			}}
		}},
		{"a command's bytes are kept", "its outcome is [a5a5]", func() broken {
			var last []byte
			return broken{apply: func(s *sums, b *machine.Batch) {
				for _, c := range b.Commands() {
					s.apply(b, c)
					b.Result(last)
					last = c
				}
			}}
		}},
		{"a command's bytes are changed", "changed the bytes of command", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				for _, c := range b.Commands() {
					s.apply(b, c)
					clear(c)
				}
			}}
		}},
		{"a rejection changes the state", "was rejected, and changed the digest", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				for _, c := range b.Commands() {
					s.apply(b, c)
					if len(c) != 2 {
						s.digest.Add(c)
					}
				}
			}}
		}},
		{"garbage makes it panic", "Apply panicked", func() broken {
			return broken{apply: func(s *sums, b *machine.Batch) {
				for _, c := range b.Commands() {
					b.Result(c[:2])
				}
			}}
		}},
		{"a query of garbage makes it panic", "Query panicked", func() broken {
			return broken{query: func(_ *sums, dst, query []byte) ([]byte, error) {
				return append(dst, query[0]), nil
			}}
		}},
		{"a query changes the state", "changes the digest", func() broken {
			return broken{query: func(s *sums, dst, query []byte) ([]byte, error) {
				s.digest.Add(query)
				return dst, nil
			}}
		}},
		{"a query counts", "asked twice", func() broken {
			asked := byte(0)
			return broken{query: func(_ *sums, dst, _ []byte) ([]byte, error) {
				asked++
				return append(dst, asked), nil
			}}
		}},
		{"an answer is not appended", "not appended to dst", func() broken {
			return broken{query: func(s *sums, dst, query []byte) ([]byte, error) { return s.Query(dst[:0], query) }}
		}},
		{"a query's bytes are changed", "changed the bytes of the query", func() broken {
			return broken{query: func(_ *sums, dst, query []byte) ([]byte, error) {
				clear(query)
				return dst, nil
			}}
		}},
		{"the digest changes when it is read", "read twice", func() broken {
			return broken{digest: func(s *sums) codec.Digest {
				s.digest.Add([]byte("read"))
				return s.Digest()
			}}
		}},
		{"instances share a variable", "the digest is", func() broken {
			instances++
			mine := instances
			return broken{digest: func(s *sums) codec.Digest { return codec.Digest{byte(mine), byte(mine >> 8)} }}
		}},
		{"no signature", "the signature is empty", func() broken {
			return broken{signature: func() string { return "" }}
		}},
		{"a long signature", "the signature has 257 bytes", func() broken {
			return broken{signature: func() string { return strings.Repeat("s", 257) }}
		}},
		{"the signature changes", "two instances have the signatures", func() broken {
			instances++
			name := fmt.Sprint("sums/", instances)
			return broken{signature: func() string { return name }}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := suite(func() machine.Machine {
				m := test.fresh()
				m.sums = newSums()
				return m
			})
			report := observe(s)
			if report == "" {
				t.Fatal("not found")
			}
			if !strings.Contains(report, test.says) {
				t.Errorf("found, but it does not say %q:\n%s", test.says, report)
			}
		})
	}
}

// observe runs s and returns how it failed, or nothing.
func observe(s Suite) string {
	o := new(observer)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(o)
	}()
	<-done
	if !o.failed {
		return ""
	}
	return "failed: " + o.log.String()
}

// observer is a rapid.TB whose failures can be read.
type observer struct {
	log    strings.Builder
	failed bool
}

func (o *observer) Helper()                   {}
func (o *observer) Name() string              { return "observer" }
func (o *observer) Logf(f string, a ...any)   { fmt.Fprintf(&o.log, f+"\n", a...) }
func (o *observer) Log(a ...any)              { fmt.Fprintln(&o.log, a...) }
func (o *observer) Skipf(f string, a ...any)  { o.Logf(f, a...); o.SkipNow() }
func (o *observer) Skip(a ...any)             { o.Log(a...); o.SkipNow() }
func (o *observer) SkipNow()                  { runtime.Goexit() }
func (o *observer) Errorf(f string, a ...any) { o.Logf(f, a...); o.Fail() }
func (o *observer) Error(a ...any)            { o.Log(a...); o.Fail() }
func (o *observer) Fatalf(f string, a ...any) { o.Logf(f, a...); o.FailNow() }
func (o *observer) Fatal(a ...any)            { o.Log(a...); o.FailNow() }
func (o *observer) FailNow()                  { o.Fail(); runtime.Goexit() }
func (o *observer) Fail()                     { o.failed = true }
func (o *observer) Failed() bool              { return o.failed }
