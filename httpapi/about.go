package httpapi

import (
	"fmt"
	"net/http"

	"larder/fill"
	"larder/httpapi/auth"
	"larder/usage"
)

// Cached is what the nodes have of an object.
type Cached struct {
	// Chunks is how many of its first chunks each node looked for.
	Chunks int          `json:"chunks"`
	Nodes  []fill.Where `json:"nodes"`
}

// about answers what is known of an object beside its metadata: which nodes have it, and
// what reads of what is counted under its name have saved. Nodes are named to those alone
// who may see the cluster.
func (a *API) about(c *call) error {
	if len(c.query) > 1 || len(c.query) == 1 && !c.query.Has("key") {
		return fmt.Errorf("%w: only key is known here", errQuery)
	}
	h, _, err := a.read.Stat(c.Context(), c.key, options(c))
	if err != nil {
		return err
	}
	type saved struct {
		Name string `json:"name"`
		usage.Saving
	}
	answer := struct {
		Service string `json:"service"`
		Key     string `json:"key"`
		ETag    string `json:"etag"`
		Size    int64  `json:"size"`
		Cached
		// Saved is null if the caller may not see all that is counted under the name.
		Saved *saved `json:"saved"`
	}{Service: c.service, Key: c.key.Name, ETag: `"` + h.Version + `"`, Size: h.Size, Cached: Cached{Nodes: []fill.Where{}}}
	if a.cfg.Where != nil {
		if answer.Cached, err = a.cfg.Where(c.Context(), c.key, h); err != nil {
			return err
		}
	}
	if c.who.May(auth.Administer, "", "") != nil {
		for i := range answer.Nodes {
			answer.Nodes[i].Node = ""
		}
	}
	name := usage.NameOf(c.key)
	if len(namesFor(c.who, []usage.Top{{Name: name}})) > 0 {
		answer.Saved = &saved{Name: name}
		if answer.Saved.Saving, err = a.cfg.Usage.Saved(c.Context(), c.who.Org, name); err != nil {
			return err
		}
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, answer)
}
