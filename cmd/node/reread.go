package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	// rereadEvery is how often a node looks whether a file has changed.
	rereadEvery = time.Second
	// rereadMost bounds a file, in bytes.
	rereadMost = 1 << 20
)

// configFile is a file that an operator may change under a running node: what it
// holds is taken at the start, and again whenever it has changed. Half of a change
// is never taken if the file is replaced by renaming another one. Changes are found
// by the file's bytes: the files are small, and this sees what notifications and
// time stamps miss, such as the link that Kubernetes swaps in a mounted secret, or
// a write that keeps size and time.
type configFile struct {
	path string
	// beside, unless it is empty, is a second file that belongs to it: take is given
	// the bytes of both, with the end of a line between them.
	beside string
	// is and holds are what the log calls the file and what is in it.
	is, holds string
	// take keeps what it wants of the file, or returns an error and keeps what it
	// had. No error holds a byte of the file unless take's does.
	take func(data []byte) error
	// count is how many there are of what the file holds.
	count func() int
	// unfit are the bits of its mode that are warned of.
	unfit fs.FileMode
	log   zerolog.Logger

	seen   snapshot
	wrong  bool // what was seen last
	errors atomic.Int64
	good   atomic.Int64 // when it was last seen good, in Unix nanoseconds
}

// snapshot tells one state of a file from another.
type snapshot struct {
	digest [sha256.Size]byte
	mode   fs.FileMode
	err    string // why the file could not be read
}

// open takes the file for the first time. A file that cannot be read or is not
// taken is an error which names it.
func (f *configFile) open() error {
	_, err := f.look()
	return err
}

// run looks at the file again and again until ctx is done, and then returns nil.
// A file that is missing or wrong changes nothing but the log, once, and the
// metrics: what was good stays so until there is a good file.
func (f *configFile) run(ctx context.Context) error {
	tick := time.NewTicker(rereadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch changed, err := f.look(); {
		case err != nil:
			f.log.Error().Err(err).Int(f.holds, f.count()).Msg(f.is + " is wrong, the " + f.holds + " before it stay good")
		case changed:
			f.log.Info().Int(f.holds, f.count()).Msg(f.is + " read again")
		}
	}
}

// state is how often the file was wrong, and how long ago it was last seen good.
func (f *configFile) state() (wrong int64, age time.Duration) {
	return f.errors.Load(), time.Since(time.Unix(0, f.good.Load()))
}

// look reads the file and has it taken if it has changed. The error says what is
// wrong with a file that has changed.
func (f *configFile) look() (changed bool, err error) {
	data, mode, err := f.read()
	now := snapshot{digest: sha256.Sum256(data), mode: mode}
	if err != nil {
		now = snapshot{err: err.Error()} // it names the file
	}
	if now.mode != f.seen.mode && now.mode&f.unfit != 0 {
		f.log.Warn().Str("file", f.path).Str("mode", now.mode.String()).Str("unfit", f.unfit.String()).
			Msg(f.is + " may be read or changed by more users than it should")
	}
	changed = now.digest != f.seen.digest || now.err != f.seen.err
	f.seen = now
	if changed && err == nil {
		if err = f.take(data); err != nil {
			err = fmt.Errorf("read %s: %w", f.path, err)
		}
	}
	if changed {
		f.wrong = err != nil
	}
	switch {
	case !f.wrong:
		f.good.Store(time.Now().UnixNano())
	case changed:
		f.errors.Add(1)
	default:
		err = nil // told already
	}
	return changed, err
}

// read returns what the file and the one beside it hold, and the mode of the last,
// which is a key if there are two. When both are replaced at once, as Kubernetes does,
// one may be read before and the other after: then they are read again.
func (f *configFile) read() (data []byte, mode fs.FileMode, err error) {
	for range 3 {
		if data, mode, err = read(f.path); err != nil || f.beside == "" {
			return data, mode, err
		}
		var second, again []byte
		if second, mode, err = read(f.beside); err != nil {
			return nil, 0, err
		}
		if again, _, err = read(f.path); err == nil && bytes.Equal(again, data) {
			return slices.Concat(data, []byte("\n"), second), mode, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("read %s: it changes all the time", f.path)
	}
	return nil, 0, err
}

// read returns what a file holds, if that is not too much, and its mode.
func read(path string) ([]byte, fs.FileMode, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(io.LimitReader(file, rereadMost+1))
	if err == nil && len(data) > rereadMost {
		err = fmt.Errorf("read %s: it has more than %d bytes", path, rereadMost)
	}
	return data, info.Mode().Perm(), err
}
