package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What has a segment's name and is none does not decide where segments go on: after the
// highest number there would be no next one. Nor does it cost a chunk.
func TestNamesOfSegments(t *testing.T) {
	cfg := testConfig(t)
	d := open(t, cfg)
	d.put(0)
	d.stop()
	if err := os.WriteFile(filepath.Join(cfg.Dir, "ffffffff"+segmentSuffix), make([]byte, headerSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(cfg.Dir, segmentName(2)), 0o700); err != nil {
		t.Fatal(err)
	}
	d = open(t, cfg)
	d.put(1)
	d.want(true, 0, 1)
	if got := segmentsOf(t, cfg.Dir); len(got) != 3 || filepath.Base(got[2]) != segmentName(3) {
		t.Errorf("the segments are %v, want the third after a directory of the second's name", got)
	}
}

// A directory that this process may only read is told at the start, and not by chunks that
// are dropped later.
func TestDirectoryThatMayNotBeWritten(t *testing.T) {
	cfg := testConfig(t)
	if err := os.Chmod(cfg.Dir, 0o555); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // and not unlocked, so that the thread ends with its rights
		_, err := unix.SetfsuidRetUid(65534)
		if err == nil {
			_, err = Open(cfg)
		}
		opened <- err
	}()
	if err := <-opened; !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the error is %v, want one of permission", err)
	}
}
