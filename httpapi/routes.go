package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"larder/httpapi/auth"
	"larder/keys"
)

// route is one thing that this API does.
type route struct {
	method string
	// path is literal but for {service}, a name space, and {key}, which is the
	// rest of the path or ?key=.
	path string
	// op names the operation in metrics and logs.
	op string
	// does is what the caller must have the right to do to the key. A listing looks at
	// its prefix itself, and who only asks who it is needs none.
	does auth.Action
	do   func(*API, *call) error
}

// otherOp is the operation of a request that was refused before it had one.
const otherOp = "other"

// getOp is that of a read.
const getOp = "get"

// clusterOp is the operation of GET /v1/cluster.
const clusterOp = "cluster"

// pageOp is that of a file of the page, and pagePath what its path begins with.
const (
	pageOp   = "page"
	pagePath = "/ui/"
)

// batchOp is that of an exchange of many objects, each of which has its own besides.
const batchOp = "batch"

// routes are all that there is.
func routes() []route {
	return []route{
		{http.MethodGet, "/v1/{service}/{key}", getOp, auth.Read, orFolder((*API).get)},
		{http.MethodHead, "/v1/{service}/{key}", "head", auth.Read, orFolder((*API).head)},
		{http.MethodPut, "/v1/{service}/{key}", "put", auth.Write, (*API).put},
		{http.MethodDelete, "/v1/{service}/{key}", "delete", auth.Delete, (*API).delete},
		{http.MethodGet, "/v1/{service}", "list", auth.Read, (*API).serveList},
		{http.MethodHead, "/v1/{service}", "list", auth.Read, (*API).serveList},
		{http.MethodDelete, "/v1/{service}", dropOp, auth.Delete, (*API).serveDrop},
		{http.MethodPost, "/v1/batch/{service}", batchOp, auth.Read, (*API).batch},
		{http.MethodPost, "/v1/builds/{service}/{key}", "build", auth.Read, (*API).build},
		{http.MethodPut, "/v1/builds/{service}/{key}", "beat", auth.Write, (*API).beat},
		{http.MethodDelete, "/v1/builds/{service}/{key}", "give-up", auth.Write, (*API).giveUp},
		{http.MethodGet, "/v1/builds/{service}", "builds", auth.Read, (*API).serveBuilds},
		{http.MethodHead, "/v1/builds/{service}", "builds", auth.Read, (*API).serveBuilds},
		{http.MethodGet, "/v1/why/{service}/{key}", "why", auth.Read, (*API).why},
		{http.MethodHead, "/v1/why/{service}/{key}", "why", auth.Read, (*API).why},
		{http.MethodGet, "/v1/about/{service}/{key}", "about", auth.Read, (*API).about},
		{http.MethodHead, "/v1/about/{service}/{key}", "about", auth.Read, (*API).about},
		{http.MethodGet, "/v1/expiring", "expiring", auth.Read, (*API).serveExpiring},
		{http.MethodHead, "/v1/expiring", "expiring", auth.Read, (*API).serveExpiring},
		{http.MethodGet, "/v1/usage", usageOp, auth.Read, (*API).usage},
		{http.MethodHead, "/v1/usage", usageOp, auth.Read, (*API).usage},
		{http.MethodGet, "/v1/cluster", clusterOp, auth.Administer, (*API).cluster},
		{http.MethodHead, "/v1/cluster", clusterOp, auth.Administer, (*API).cluster},
		{http.MethodGet, "/v1/whoami", "whoami", auth.Read, (*API).whoami},
		{http.MethodHead, "/v1/whoami", "whoami", auth.Read, (*API).whoami},
	}
}

// buildsPath is what the paths begin with that are about builds.
const buildsPath = "/v1/builds/"

// Operations returns the names of all operations, with "other", for metrics.
func Operations() []string {
	ops := []string{otherOp, pageOp}
	for _, r := range routes() {
		if !slices.Contains(ops, r.op) {
			ops = append(ops, r.op)
		}
	}
	return ops
}

// match reports whether a path, escaped as it came, is one of this route, and
// returns the service and the key in it. The path is not cleaned: "a//b" and ".."
// are keys like others. hasKey says that the query holds a key.
func (r route) match(path string, hasKey bool) (service, key string, ok bool) {
	literal, varies, _ := strings.Cut(r.path, "{service}")
	rest, ok := strings.CutPrefix(path, literal)
	if literal == r.path || !ok {
		return "", "", ok && rest == ""
	}
	service, key, _ = strings.Cut(rest, "/")
	ok = service == keys.Objects || service == keys.Strategies
	return service, key, ok && (varies != "") == (key != "" || hasKey)
}

// find returns what does a request, and has read what its path and query name.
func (a *API) find(c *call) (do func(*API, *call) error, err error) {
	path, hasKey := c.URL.EscapedPath(), c.query.Has("key")
	var allowed []string
	for _, r := range a.routes {
		service, escaped, ok := r.match(path, hasKey)
		if !ok || a.cfg.Builds == nil && strings.HasPrefix(r.path, buildsPath) || a.cfg.Overview == nil && r.op == clusterOp {
			continue
		}
		if r.method != c.Method {
			allowed = append(allowed, r.method)
			continue
		}
		c.service = service
		if strings.HasSuffix(r.path, "{key}") {
			if c.key, err = keyOf(c, escaped); err != nil {
				return nil, err
			}
			c.op = r.op
			if err := c.who.May(r.does, c.service, c.key.Name); err != nil {
				return nil, err
			}
		}
		c.op = r.op
		return r.do, nil
	}
	if allowed == nil {
		return nil, errNoRoute
	}
	allow := strings.Join(allowed, ", ")
	c.w.Header().Set("Allow", allow)
	return nil, fmt.Errorf("%w: %s; allowed here: %s; a write names a key", errMethod, c.Method, allow)
}

// keyOf is the key that a request names, in its path or as ?key=.
func keyOf(c *call, escaped string) (keys.Key, error) {
	key, err := keyText(escaped, c.query)
	if err != nil {
		return keys.Key{}, err
	}
	k, err := keys.New(c.who.Org, c.service, key)
	if err != nil && c.query.Has("key") && strings.Contains(key, " ") {
		return k, fmt.Errorf("%w (in a query a + is written %%2B)", err)
	}
	return k, err
}

func keyText(escaped string, q url.Values) (string, error) {
	key, err := url.PathUnescape(escaped)
	if err != nil {
		return "", fmt.Errorf("%w: %w; a %% in a key is written %%25", keys.ErrBadKey, err)
	}
	if !q.Has("key") {
		return key, nil
	}
	if key != "" || len(q["key"]) > 1 {
		return "", fmt.Errorf("%w: give it once, in the path or as ?key=", keys.ErrBadKey)
	}
	if key = q.Get("key"); key == "" {
		return "", fmt.Errorf("%w: ?key= is empty; leave it out to list", keys.ErrBadKey)
	}
	return key, nil
}

func (a *API) whoami(c *call) error {
	scope := auth.Scope{}
	if c.who.Scope != nil {
		scope = *c.who.Scope
	}
	return writeJSON(c.w, http.StatusOK, struct {
		Org      string    `json:"org"`
		User     string    `json:"user"`
		Role     auth.Role `json:"role"`
		Services []string  `json:"services,omitempty"`
		Prefixes []string  `json:"prefixes,omitempty"`
	}{c.who.Org, c.who.User, c.who.Role, scope.Services, scope.Prefixes})
}
