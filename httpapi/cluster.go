package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"larder/httpapi/auth"
	"larder/httpapi/overview"
)

// cluster answers an operator how the cluster is.
func (a *API) cluster(c *call) error {
	if err := c.who.May(auth.Administer, "", ""); err != nil {
		return err
	}
	if len(c.query) > 0 {
		return fmt.Errorf("%w: there is nothing to ask of /v1/cluster; leave the query out", errQuery)
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, http.StatusOK, a.cfg.Overview.Report(c.Context(), c.who.Org))
}

// noteDenial tells the overview that a caller was denied something. A caller without a good
// credential has no org that could be told.
func (a *API) noteDenial(c *call) {
	denied := []int{http.StatusForbidden, http.StatusTooManyRequests, http.StatusInsufficientStorage}
	if c.who.Org == "" || !slices.Contains(denied, c.w.status) {
		return
	}
	a.cfg.Overview.Denied(overview.Denial{
		At: time.Now().UTC(), Org: c.who.Org, User: c.who.User, Op: c.op, Problem: c.problem, Request: c.id,
	})
}
