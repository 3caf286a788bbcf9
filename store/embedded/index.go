package embedded

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/btree"
	"github.com/versity/versitygw/backend/posix"
)

// index holds the keys of all objects in the order of their bytes, so that a
// page of a listing looks at its own objects only. The first listing fills it
// from the folder, and every write keeps it right: one process serves the
// folder. Files that come into the folder by other means meanwhile are served,
// but not listed before the next start.
type index struct {
	path string // of the bucket

	mu   sync.RWMutex          // guards keys; a key's lock is taken before it
	keys *btree.BTreeG[string] // nil before the first listing
}

const indexDegree = 64

// update records that an object was written or removed. The caller holds the
// key's lock, so that the last writer of a key is the last to update it. While
// the index is filled it waits: the filling may have passed the key already.
func (x *index) update(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.keys == nil {
		return // whoever fills it will see what is there
	}
	if info, err := os.Lstat(filepath.Join(x.path, key)); err == nil && !info.IsDir() {
		x.keys.ReplaceOrInsert(strings.Clone(key)) // the server uses a request's memory again
	} else {
		x.keys.Delete(key)
	}
}

// page returns up to n keys that begin with prefix and sort after the key after.
func (x *index) page(prefix, after string, n int) ([]string, error) {
	if err := x.fill(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	keys := make([]string, 0, n)
	x.keys.AscendGreaterOrEqual(max(prefix, after), func(key string) bool {
		if !strings.HasPrefix(key, prefix) || len(keys) == n {
			return false
		}
		if key > after {
			keys = append(keys, key)
		}
		return true
	})
	return keys, nil
}

// fill reads the whole folder, once.
func (x *index) fill() error {
	x.mu.RLock()
	filled := x.keys != nil
	x.mu.RUnlock()
	if filled {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.keys != nil {
		return nil
	}
	keys := btree.NewOrderedG[string](indexDegree)
	hidden := filepath.Join(x.path, posix.MetaTmpDir)
	err := filepath.WalkDir(x.path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == hidden:
			return fs.SkipDir
		case !entry.IsDir():
			keys.ReplaceOrInsert(name[len(x.path)+1:])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the names of all objects: %w", err)
	}
	x.keys = keys
	return nil
}
