package auth

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// rememberedAtMost is how many credentials are remembered, some 300 bytes each.
const rememberedAtMost = 4096

// remembered are credentials that were verified, by their digest, each until its end.
type remembered struct {
	cache *lru.Cache[digest, credential]
}

func newRemembered() *remembered {
	cache, _ := lru.New[digest, credential](rememberedAtMost) // fails only for a size of none
	return &remembered{cache}
}

// get returns whose credential it is, if it was verified before and is good still.
func (r *remembered) get(id digest, now time.Time) (Principal, bool) {
	c, ok := r.cache.Get(id)
	if !ok || !now.Before(c.expires) {
		return Principal{}, false
	}
	return c.principal, true
}

// put remembers a credential that was verified.
func (r *remembered) put(id digest, p Principal, expires time.Time) {
	r.cache.Add(id, credential{principal: p, expires: expires})
}
