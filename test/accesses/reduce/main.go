// Reduce writes the trace of package accesses: the first requests of a table whose
// lines are time, object, size, and what it does not need.
//
//	go run ./test/accesses/reduce <twitter_cluster52.csv >test/accesses/twitter_cluster52.gz
package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// requests is how many are taken.
const requests = 300_000

func main() {
	if err := reduce(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func reduce(from io.Reader, to io.Writer) error {
	packed, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(from)
	lines.Scan() // the names of the columns
	last := map[string]int{}
	for n := 0; n < requests && lines.Scan(); n++ {
		fields := strings.Split(lines.Text(), ", ")
		if len(fields) < 3 {
			return fmt.Errorf("request %d: %q has fewer than three fields", n, lines.Text())
		}
		size, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			return fmt.Errorf("request %d: %w", n, err)
		}
		var b []byte
		if before, ok := last[fields[1]]; ok {
			b = binary.AppendUvarint(b, uint64(n-before))
		} else {
			b = binary.AppendUvarint(append(b, 0), size)
		}
		last[fields[1]] = n
		if _, err := packed.Write(b); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return packed.Close()
}
