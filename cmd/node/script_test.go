package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/internal/api"
	"github.com/logmesh/logmesh/internal/api/apitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"logmesh": main})
}

// TestScripts runs the transcripts in testdata with the real command. Beside
// testscript's own commands there are:
//
//	fakenode DIR [STATUS.json]  an API over a map in memory; DIR/node.json leads to it
//	failing CODE                from now on the map's writes fail with this code of the API; ok ends it
//	fakeport                    takes a TCP port and sets $PORT
//	ready DIR                   waits until a node in DIR is ready
//	exits STATUS CMD…           runs a command that ends with this exit status
//	until DIR TEMPLATE REGEXP   waits until the status of the node in DIR matches
//	says FILE REGEXP            waits until a file has a line that matches
//	newfile FILE SIZE           makes a file of SIZE bytes
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:      "testdata",
		Deadline: time.Now().Add(2 * time.Minute), // a node that should have refused to start runs for ever
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fakenode": fakeNode,
			"failing":  failing,
			"fakeport": fakePort,
			"ready":    ready,
			"newfile":  newFile,
			"exits":    exits,
			"says":     says,
			"until":    until,
		},
	})
}

// stores is the fake node's map of each script that runs.
var stores = make(chan map[*testscript.TestScript]*apitest.Store, 1)

func init() { stores <- map[*testscript.TestScript]*apitest.Store{} }

func fakeNode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: fakenode DIR [STATUS.json]")
	}
	st := logmesh.Status{Network: "local", Group: "main", Machine: "kv/1", Phase: logmesh.PhaseOnline, Leader: "x"}
	if len(args) == 2 {
		st = logmesh.Status{}
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &st))
	}
	store := &apitest.Store{}
	m := <-stores
	m[ts] = store
	stores <- m
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	rate := filepath.Join(ts.MkAbs(args[0]), "rate")
	members := &apitest.Members{}
	members.Set(logmesh.Membership{Index: 7, Target: 3, Leader: st.Leader, Members: st.Members})
	s := api.NewServer(api.Node{Store: store, Members: members, Status: func() logmesh.Status { return st }, SetServeRate: func(r int64) {
		data, _ := json.Marshal(r)
		_ = os.WriteFile(rate, append(data, '\n'), 0o600)
	}}, l.Addr().String())
	go func() { _ = s.Serve(l) }()
	ts.Defer(func() { _ = s.Close(context.Background()) })
	ts.Check(os.MkdirAll(ts.MkAbs(args[0]), 0o755))
	ts.Check(writeNodeFile(ts.MkAbs(args[0]), nodeFile{API: l.Addr().String(), PID: os.Getpid()}))
	ts.Setenv("API", l.Addr().String())
}

func failing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: failing CODE")
	}
	m := <-stores
	defer func() { stores <- m }()
	m[ts].Before(func(_ context.Context, method, _ string) error {
		if args[0] == "ok" || method == "get" || method == "scan" {
			return nil
		}
		return &api.Error{Code: api.Code(args[0]), Message: "failing on purpose"}
	})
}

func fakePort(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv("PORT", port)
}

func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DIR")
	}
	poll(ts, func() (bool, string) {
		_, err := readNodeFile(ts.MkAbs(args[0]))
		return err == nil, fmt.Sprint(err)
	})
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: until DIR TEMPLATE REGEXP")
	}
	want, err := regexp.Compile("^(?:" + args[2] + ")$")
	ts.Check(err)
	show, err := templatePrinter(args[1])
	ts.Check(err)
	poll(ts, func() (bool, string) {
		var out strings.Builder
		a := &app{out: &out, data: ts.MkAbs(args[0]), timeout: 5 * time.Second}
		if err := a.status(context.Background(), show); err != nil {
			return false, err.Error()
		}
		got := strings.TrimSpace(out.String())
		return want.MatchString(got), got
	})
}

func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: says FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	poll(ts, func() (bool, string) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && want.Match(text), string(text)
	})
}

// poll asks until the answer is yes; what it last saw goes into the failure.
func poll(ts *testscript.TestScript, ask func() (bool, string)) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		yes, saw := ask()
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("waited for 30 s; the last was: %s", saw)
		}
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS CMD…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

func newFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: newfile FILE SIZE")
	}
	var size byteRate
	ts.Check(size.Set(args[1]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Repeat("x", int(size))), 0o600))
}
