package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Files is the directory that the segments are in.
type Files interface {
	// Open opens a file for reading and writing; with create it makes one that is not
	// there yet.
	Open(name string, create bool) (File, error)
	List() ([]string, error)
	Remove(name string) error
}

// File is a segment's file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Size() (int64, error)
}

// ErrInUse says that another process has the directory.
var ErrInUse = errors.New("another process uses this directory; each node needs one of its own")

// directory is a directory of the machine, which nobody else uses until it is closed.
type directory struct {
	root *os.Root
	lock *os.File // the directory itself
}

// openDirectory makes the directory if it is not there, and locks it.
func openDirectory(path string) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	lock, err := root.Open(".")
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err == nil {
		err = mayWrite(lock)
	}
	d := &directory{root: root, lock: lock}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// mayWrite is an error if this process may make no files in a directory. What a read-only
// file system has can still be read.
func mayWrite(dir *os.File) error {
	err := unix.Faccessat(int(dir.Fd()), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("this process may not write there: %w", err)
	}
	return nil
}

func (d *directory) close() {
	_ = d.root.Close() // nothing was written to it
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

func (d *directory) Open(name string, create bool) (File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := d.root.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d *directory) List() ([]string, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // it was only read
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list the directory: %w", err)
	}
	return names, nil
}

func (d *directory) Remove(name string) error { return d.root.Remove(name) }

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file", f.Name())
	}
	return info.Size(), nil
}

// noFiles is a directory that cannot be used.
type noFiles struct{ err error }

func (n noFiles) Open(string, bool) (File, error) { return nil, n.err }
func (n noFiles) List() ([]string, error)         { return nil, n.err }
func (n noFiles) Remove(string) error             { return n.err }
