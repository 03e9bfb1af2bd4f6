package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/logmesh/logmesh/internal/api"
)

func (a *app) kvExport() *cobra.Command {
	var local, overwrite, asJSON bool
	cmd := &cobra.Command{
		Use:   "export DIR",
		Short: "Write every value to a file below a directory",
		Long: `Write every value to a file whose path below DIR is the key: the reverse of "kv import DIR".

Nothing is ever written outside DIR. A key that is no path below it (absolute, with . or ..
or an empty part, or where one key is the directory of another) ends the export before
anything is written; a link in DIR ends it at that key. Existing files are not replaced unless
--overwrite is given. What the group writes meanwhile may or may not be in the copy.`,
		Example: "  logmesh kv export ./copy && diff -r ./tree ./copy",
		Args:    exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			e := export{app: a, store: c, read: readOf(local), overwrite: overwrite, made: map[string]bool{".": true}}
			return e.run(cmd.Context(), args[0], asJSON)
		},
	}
	a.clientFlags(cmd)
	readFlag(cmd, &local)
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace existing files")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the summary as JSON")
	return cmd
}

// export writes keys as files below root, which is never left.
type export struct {
	app       *app
	store     api.Store
	read      api.Read
	overwrite bool

	root  *os.Root
	made  map[string]bool // directories that are there and no links
	keys  int64
	bytes int64
}

// exportSummary is what an export did.
type exportSummary struct {
	Keys    int64   `json:"keys"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

func (e *export) run(ctx context.Context, dir string, asJSON bool) error {
	began := time.Now()
	if err := e.checkKeys(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // each file was closed and checked
	e.root = root
	q := api.ScanQuery{Read: e.read}
	if err := e.app.eachItem(ctx, e.store, q, e.write); err != nil {
		return err
	}
	d := time.Since(began)
	if asJSON {
		return json.NewEncoder(e.app.out).Encode(exportSummary{e.keys, e.bytes, d.Seconds()})
	}
	e.app.say("exported %s", rateLine(e.keys, e.bytes, d))
	return nil
}

// checkKeys finds keys that cannot be files before anything is written.
func (e *export) checkKeys(ctx context.Context) error {
	files := map[string]bool{}
	q := api.ScanQuery{KeysOnly: true, Read: e.read}
	return e.app.eachItem(ctx, e.store, q, func(item api.Item) error {
		if err := checkFileKey(item.Key); err != nil {
			return err
		}
		// A directory's key stands before the keys in it.
		for dir := path.Dir(item.Key); dir != "."; dir = path.Dir(dir) {
			if files[dir] {
				return unexportable(item.Key, fmt.Sprintf("the key %s would have to be a file and a directory", quoted(dir)))
			}
		}
		files[item.Key] = true
		return nil
	})
}

func unexportable(key, why string) error {
	return hinted(fmt.Errorf("cannot export the key %s: %s", quoted(key), why), "`logmesh kv scan --json` writes any key")
}

// checkFileKey says why a key is no path of a file below a directory.
func checkFileKey(key string) error {
	if path.IsAbs(key) {
		return unexportable(key, "it is an absolute path")
	}
	for _, part := range strings.Split(key, "/") {
		switch {
		case part == "":
			return unexportable(key, "a part of the path is empty")
		case part == "." || part == "..":
			return unexportable(key, "it has a part "+part)
		case strings.ContainsRune(part, 0):
			return unexportable(key, "it holds a zero byte")
		case len(part) > 255:
			return unexportable(key, "a part has more than 255 bytes")
		}
	}
	if runtime.GOOS == "windows" && !filepath.IsLocal(filepath.FromSlash(key)) {
		return unexportable(key, "it is no file name here")
	}
	return nil
}

// write makes one file.
func (e *export) write(item api.Item) error {
	if err := checkFileKey(item.Key); err != nil {
		return err // written since the check
	}
	if err := e.makeDir(path.Dir(item.Key)); err != nil {
		return unexportable(item.Key, err.Error())
	}
	if err := e.writeFile(item.Key, item.Value); err != nil {
		return unexportable(item.Key, err.Error())
	}
	e.keys++
	e.bytes += int64(len(item.Value))
	return nil
}

// makeDir makes a directory and those above it. A link on the way is refused,
// even one that stays inside.
func (e *export) makeDir(dir string) error {
	if e.made[dir] {
		return nil
	}
	if err := e.makeDir(path.Dir(dir)); err != nil {
		return err
	}
	err := e.root.Mkdir(dir, 0o755)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := e.root.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is there and not a directory", quoted(dir))
	}
	e.made[dir] = true
	return nil
}

func (e *export) writeFile(name string, value []byte) error {
	if e.overwrite {
		if info, err := e.root.Lstat(name); err == nil && info.Mode().IsRegular() {
			if err := e.root.Remove(name); err != nil {
				return err
			}
		}
	}
	f, err := e.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return e.inTheWay(name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	return errors.Join(err, f.Close())
}

func (e *export) inTheWay(name string) error {
	if info, err := e.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return errors.New("what is there under its name is not a regular file")
	}
	return errors.New("a file is there already (--overwrite replaces it)")
}
