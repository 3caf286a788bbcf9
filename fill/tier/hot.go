package tier

// Hot are this node's copies of chunks that other nodes own, in the memory that the
// node's own chunks leave, and in a share of their own where those leave none. A chunk
// is worth a copy when it is fetched for the second time lately, so that a caller who
// reads much once leaves nothing behind (2Q: Johnson and Shasha, VLDB 1994). Lately
// means: no more bytes have been fetched since than there is room for, as a copy would
// not have lasted any longer.
type Hot struct{ *memory }

// Get returns a copy if there is one, and notes that it was used. It does not keep the
// name.
func (h *Hot) Get(name string) ([]byte, bool) {
	is := IDOf(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.hot.Get(is)
	return c.bytes, ok
}

// Peek returns a copy if there is one.
func (h *Hot) Peek(name string) ([]byte, bool) {
	is := IDOf(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.hot.Peek(is)
	return c.bytes, ok
}

// Take returns a copy and gives it up: the caller keeps the chunk from now on.
func (h *Hot) Take(name string) ([]byte, bool) {
	is := IDOf(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := h.hot.Remove(is)
	return c.bytes, ok
}

// Known reports whether there is a copy of a chunk, or will be one when it is
// fetched now. If not, it remembers that it is fetched.
func (h *Hot) Known(name string, length int64) bool {
	is := IDOf(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.hot.Peek(is); there {
		return true
	}
	return h.wanted(is, length)
}

// Wanted reports whether a chunk that was fetched just now is worth a copy.
func (h *Hot) Wanted(name string, length int64) bool {
	is := IDOf(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wanted(is, length)
}

// wanted is Wanted for a caller who holds mu.
func (h *Hot) wanted(is ID, length int64) bool {
	if h.hot.Remembers(is) {
		return true
	}
	h.hot.Remember(is, entryBytes+allocated(length))
	return false
}

// Keep makes a copy, unless there is no room for it alone.
func (h *Hot) Keep(name string, b []byte) {
	is := IDOf(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hot.Add(is, chunk{bytes: b})
}

// Held counts the copies, and what was given.
func (h *Hot) Held() Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	held, given := h.hot.Held(), h.given.Held()
	return Held{Bytes: held.Bytes + given.Bytes, Chunks: held.Chunks + given.Chunks, Evictions: held.Evictions + given.Evictions}
}
