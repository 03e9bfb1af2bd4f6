package logmesh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/logmesh/logmesh"
	"github.com/logmesh/logmesh/machine/counter"
)

// A group of three nodes in one process, with a machine over Go types.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	key := logmesh.NewKey()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))

	var peers []string
	var last *logmesh.Client[counter.Add, counter.Value, counter.Read, counter.Reading]
	for i := range 3 {
		n, err := logmesh.Open(ctx, logmesh.Config{Peers: peers, Logger: quiet})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close()
		peers = append(peers, n.Addrs()...)
		last, err = logmesh.Join(ctx, n, logmesh.GroupConfig{Key: key, Found: i == 0}, counter.New())
		if err != nil {
			log.Fatal(err)
		}
	}
	if _, err := last.Wait(ctx, logmesh.Members(3)); err != nil {
		log.Fatal(err)
	}

	// Any member takes writes, and strong reads see them everywhere.
	for _, by := range []int64{5, -2} {
		if _, err := last.Do(ctx, counter.Add{Name: "apples", By: by}); err != nil {
			log.Fatal(err)
		}
	}
	_, err := last.Do(ctx, counter.Add{Name: "apples", By: -10})
	fmt.Println(errors.As(err, new(*logmesh.RejectedError)))
	left, err := last.Ask(ctx, counter.Read{Name: "apples"}, logmesh.Strong)
	fmt.Println(left.Value, err)
	// Output:
	// true
	// 3 <nil>
}
