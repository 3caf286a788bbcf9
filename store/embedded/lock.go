package embedded

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const lockName = "lock"

// lockFolder makes sure that one process serves the folder, until the file is
// closed or the process ends in whatever way.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s is in use by another process: stop that one, or choose another folder with --data-dir", dir)
	}
	return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
}

// keyLocks are locks by key. Keys that share one wait for each other without
// need, now and then. No two are ever held together.
type keyLocks struct {
	seed  maphash.Seed
	locks [1024]sync.RWMutex
}

func newKeyLocks() *keyLocks { return &keyLocks{seed: maphash.MakeSeed()} }

func (k *keyLocks) of(key string) *sync.RWMutex {
	return &k.locks[maphash.String(k.seed, key)%uint64(len(k.locks))]
}
