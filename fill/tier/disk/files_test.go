package disk

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// memory is a directory in memory, which fails as a test wants.
type memory struct {
	mu     sync.Mutex // guards all below
	files  map[string][]byte
	fail   func(op string) error // nil fails nothing; op is open, list, remove, read, write or sync
	block  chan struct{}         // reads wait for its end, unless nil
	cached int                   // how many bytes of each file, from its start on, the system has in memory
}

func newMemory() *memory { return &memory{files: map[string][]byte{}} }

// failing has operations fail from now on.
func (m *memory) failing(fail func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

// copied is a directory with the same files.
func (m *memory) copied() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemory()
	for name, b := range m.files {
		c.files[name] = slices.Clone(b)
	}
	return c
}

// do runs an operation unless it is to fail. The caller does not hold mu.
func (m *memory) do(op string, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(op); err != nil {
			return err
		}
	}
	return f()
}

func (m *memory) Open(name string, create bool) (File, error) {
	err := m.do("open", func() error {
		if _, ok := m.files[name]; ok == create {
			return fs.ErrNotExist
		}
		if create {
			m.files[name] = nil
		}
		return nil
	})
	return &memoryFile{m, name}, err
}

func (m *memory) List() (names []string, err error) {
	err = m.do("list", func() error {
		names = slices.Sorted(maps.Keys(m.files))
		return nil
	})
	return names, err
}

func (m *memory) Remove(name string) error {
	return m.do("remove", func() error {
		delete(m.files, name)
		return nil
	})
}

type memoryFile struct {
	in   *memory
	name string
}

func (f *memoryFile) ReadAt(p []byte, off int64) (n int, err error) {
	f.in.mu.Lock()
	block := f.in.block
	f.in.mu.Unlock()
	if block != nil {
		<-block
	}
	err = f.in.do("read", func() error {
		if b := f.in.files[f.name]; off < int64(len(b)) {
			n = copy(p, b[off:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	return len(p), f.in.do("write", func() error {
		b := f.in.files[f.name]
		if end := int(off) + len(p); end > len(b) {
			b = append(b, make([]byte, end-len(b))...)
		}
		copy(b[off:], p)
		f.in.files[f.name] = b
		return nil
	})
}

func (f *memoryFile) Sync() error  { return f.in.do("sync", func() error { return nil }) }
func (f *memoryFile) Close() error { return nil }

func (f *memoryFile) Size() (n int64, err error) {
	err = f.in.do("read", func() error { n = int64(len(f.in.files[f.name])); return nil })
	return n, err
}

func (f *memoryFile) ReadCached(pieces [][]byte, off int64) (n int) {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	b := f.in.files[f.name]
	b = b[:min(len(b), f.in.cached)]
	for _, p := range pieces {
		n += copy(p, b[min(int(off)+n, len(b)):])
	}
	return n
}
