package auth

import (
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// rememberedAtMost is how many credentials are remembered, some 300 bytes each.
const rememberedAtMost = 4096

// Remembered are credentials that were verified, by their digest, each until its end.
// Make it with NewRemembered.
type Remembered struct {
	// current is replaced when all is forgotten.
	current atomic.Pointer[lru.Cache[digest, credential]]
}

// NewRemembered makes a Remembered of none.
func NewRemembered() *Remembered {
	r := &Remembered{}
	r.Forget()
	return r
}

// Forget forgets all, also what is being verified now.
func (r *Remembered) Forget() {
	cache, _ := lru.New[digest, credential](rememberedAtMost) // fails only for a size of none
	r.current.Store(cache)
}

// Get returns whose credential it is, if it was verified before and is good still.
func (r *Remembered) Get(token string) (Principal, bool) {
	c, ok := r.current.Load().Get(digestOf(token))
	if !ok || !time.Now().Before(c.expires) {
		return Principal{}, false
	}
	return c.principal, true
}

// Begin is called before a credential is verified. What it returns remembers the
// credential, unless all was forgotten meanwhile.
func (r *Remembered) Begin() func(token string, p Principal, expires time.Time) {
	cache := r.current.Load()
	return func(token string, p Principal, expires time.Time) {
		cache.Add(digestOf(token), credential{principal: p, expires: expires})
	}
}
