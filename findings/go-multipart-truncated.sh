#!/usr/bin/env bash
# Go's mime/multipart takes a body that was cut off for one that is complete.
#
# Reader.NextPart documents io.EOF for "there are no more parts". It gives that also for a body
# that ends in the header of a part, at the end of a line, and wraps it ("multipart: NextPart:
# EOF") for one that ends between two parts, so that errors.Is(err, io.EOF), which linters ask
# for, is true there too. ReadForm has the parts before and no error. The body of an HTTP request
# with a length is safe from a lost connection, which net/http makes io.ErrUnexpectedEOF; a file,
# a mail, or a body that ends as its connection does is not.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'EOF'
package main

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"os"
	"runtime"
	"strings"
)

const whole = "--b\r\nContent-Disposition: form-data; name=one\r\n\r\n1\r\n" +
	"--b\r\nContent-Disposition: form-data; name=two\r\n\r\n2\r\n--b--\r\n"

// read reads all parts, and returns how many there were and what ended them.
func read(body string) (n int, err error) {
	r := multipart.NewReader(strings.NewReader(body), "b")
	for {
		part, err := r.NextPart()
		if err != nil {
			return n, err
		}
		if _, err := io.ReadAll(part); err != nil {
			return n, err
		}
		n++
	}
}

func main() {
	fmt.Println(runtime.Version(), "mime/multipart: a body of two parts that ends too early")
	same, is, forms, last := 0, 0, 0, ""
	for cut := range strings.Index(whole, "--b--") + len("--b-") { // all but the last byte of the closing delimiter
		n, err := read(whole[:cut])
		if err == io.EOF {
			last = fmt.Sprintf("the first %d of %d bytes, which end in %q: %d part and err == io.EOF", cut, len(whole), whole[max(cut-7, 0):cut], n)
			same++
		}
		if errors.Is(err, io.EOF) {
			is++
		}
		form, err := multipart.NewReader(strings.NewReader(whole[:cut]), "b").ReadForm(1 << 20)
		if err == nil {
			last += fmt.Sprintf("; ReadForm has %v and no error", form.Value)
			forms++
		}
	}
	fmt.Println("for example", last)
	fmt.Printf("of the beginnings: io.EOF itself %d times, errors.Is(err, io.EOF) %d times, ReadForm without an error %d times\n", same, is, forms)
	if same == 0 || is <= same || forms == 0 {
		fmt.Println("changed: a truncated body is told from a whole one")
		os.Exit(1)
	}
}
EOF
go run main.go
