// Package reread hands out what a file holds, at first and again whenever that has changed. What was handed out is never
// half of a change if whoever writes the file writes another one and renames it. Packages auth and cmd/node use it for
// the files that an operator may change under a running node. It knows nothing of what the files mean, and no error
// holds a byte of them unless the taker's does. A File is for one goroutine.
package reread

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"time"
)

// File is a file that was read.
type File struct {
	path string
	take func(data []byte) error
	seen snapshot
}

// snapshot tells one state of a file from another.
type snapshot struct {
	digest [sha256.Size]byte
	err    string // why the file could not be read
}

// Open reads the file and hands it to take, which keeps what it wants of it or returns an error and keeps what it had.
// A file that cannot be read or is not taken is an error which names it.
func Open(path string, take func(data []byte) error) (*File, error) {
	f := &File{path: path, take: take}
	if _, err := f.look(); err != nil {
		return nil, err
	}
	return f, nil
}

// Run looks at the file every interval until ctx is done, and then returns nil. Each time the file has changed it is
// handed to take, and told hears of it: with nil if it was taken, otherwise with what is wrong. A file that stays wrong
// is told of once.
//
// The file's bytes are looked at: the files are small, and this sees what notifications and time stamps do not, such as
// the link that Kubernetes swaps in a mounted secret and a write that keeps size and time.
func (f *File) Run(ctx context.Context, interval time.Duration, told func(err error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if changed, err := f.look(); changed {
			told(err)
		}
	}
}

// look reads the file and has it taken if it has changed. The error says what is wrong with a file that has changed.
func (f *File) look() (changed bool, err error) {
	data, err := os.ReadFile(f.path)
	now := snapshot{digest: sha256.Sum256(data)}
	if err != nil {
		now = snapshot{err: err.Error()}
	}
	if now == f.seen {
		return false, nil
	}
	f.seen = now
	if err != nil {
		return true, err // it names the file
	}
	if err := f.take(data); err != nil {
		return true, fmt.Errorf("read %s: %w", f.path, err)
	}
	return true, nil
}
