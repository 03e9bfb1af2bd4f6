package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/logmesh/logmesh/internal/api"
)

// found is one thing that an import came across.
type found struct {
	key     string
	value   []byte
	larger  bool // value above its limit: not read
	special bool // not a regular file
}

// source is where an import reads. each stops at the first error, its own or
// do's.
type source interface {
	each(do func(found) error) error
}

// openSource opens a directory, a file of records, or standard input.
func openSource(from string, in io.Reader) (source, error) {
	if from == "-" {
		return records{name: "standard input", r: in}, nil
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return tree(from), nil
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	return records{name: from, r: f}, nil
}

// tree is a directory: a file's path below it is its key.
type tree string

func (t tree) each(do func(found) error) error {
	root, err := os.OpenRoot(string(t)) // follows no link out of the tree
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // it was only read
	return fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := readFound(root, path, d)
		if err != nil {
			return err
		}
		return do(f)
	})
}

func readFound(root *os.Root, path string, d fs.DirEntry) (found, error) {
	f := found{key: filepath.ToSlash(path)}
	if err := api.CheckKey(f.key); err != nil {
		return f, err
	}
	if !d.Type().IsRegular() {
		f.special = true
		return f, nil
	}
	file, err := root.Open(path)
	if err != nil {
		return f, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	f.value, err = io.ReadAll(io.LimitReader(file, api.MaxValue+1))
	if len(f.value) > api.MaxValue {
		f.value, f.larger = nil, true
	}
	return f, err
}

// records are JSON objects, one a line.
type records struct {
	name string
	r    io.Reader
}

// maxRecord bounds a line: a value of 1 MiB in which each byte is escaped as
// \u0000, and its key.
const maxRecord = 6*(api.MaxValue+api.MaxKey) + 1<<10

func (r records) each(do func(found) error) error {
	if c, ok := r.r.(io.Closer); ok && r.r != os.Stdin {
		defer c.Close() //nolint:errcheck // it was only read
	}
	lines := bufio.NewScanner(r.r)
	lines.Buffer(make([]byte, 0, 64<<10), maxRecord)
	number := 1
	for ; lines.Scan(); number++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		f, err := parseRecord(line)
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", r.name, number, err)
		}
		if err := do(f); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s, line %d: %w", r.name, number, err)
	}
	return nil
}

// parseRecord reads {"key":…} with either "value" or "value_base64".
func parseRecord(line []byte) (f found, err error) {
	var r struct {
		Key    *string `json:"key"`
		Value  *string `json:"value"`
		Base64 *[]byte `json:"value_base64"`
	}
	decode := json.NewDecoder(bytes.NewReader(line))
	decode.DisallowUnknownFields()
	if err := decode.Decode(&r); err != nil {
		return f, fmt.Errorf("not a record: %w", err)
	}
	if decode.More() {
		return f, errors.New("more than one record on the line")
	}
	if r.Key == nil {
		return f, errors.New(`the record has no "key"`)
	}
	if (r.Value == nil) == (r.Base64 == nil) {
		return f, fmt.Errorf(`the record of %q must have either "value" or "value_base64"`, *r.Key)
	}
	if err := api.CheckKey(*r.Key); err != nil {
		return f, err
	}
	f.key = *r.Key
	if r.Value != nil {
		f.value = []byte(*r.Value)
	} else {
		f.value = *r.Base64
	}
	if len(f.value) > api.MaxValue {
		f.value, f.larger = nil, true
	}
	return f, nil
}
