// Command node runs a logmesh node and asks running ones: it is built as
// bin/logmesh.
//
// It keeps to four rules. Data goes to standard output and talk to standard
// error. Exit status 0 is success, 1 failure, 2 wrong use, and 3, of run, that
// the node was removed from its group. An error says what
// was wrong and, where it can, what to do next. Nothing moves on the screen
// unless standard error is a terminal, and nothing is coloured if NO_COLOR is
// set.
package main

import "os"

func main() {
	os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
