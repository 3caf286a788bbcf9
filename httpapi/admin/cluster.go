package admin

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"larder/cluster"
)

// member is one of /cluster's members.
type member struct {
	Name    string    `json:"name"`
	Peer    string    `json:"peer"`
	Started time.Time `json:"started"`
	Self    bool      `json:"self"`
	Share   float64   `json:"share"` // of all keys, between 0 and 1, estimated
}

// Percent is the share for people.
func (m member) Percent() string { return strconv.FormatFloat(100*m.Share, 'f', 1, 64) + " %" }

const page = `<!doctype html>
<meta charset="utf-8"><title>Larder cluster</title>
<style>body{font:16px sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left}</style>
<h1>{{len .}} member{{if ne (len .) 1}}s{{end}}</h1>
<table><tr><th>name<th>share of keys<th>peer address<th>started
{{range .}}<tr><td>{{.Name}}{{if .Self}} (this node){{end}}<td>{{.Percent}}<td>{{.Peer}}<td>{{.Started.Format "2006-01-02 15:04:05 MST"}}
{{end}}</table>
`

// cluster answers with the members, as a page for people or as JSON.
func (a *Admin) cluster(w http.ResponseWriter, r *http.Request, c *cluster.Cluster) {
	members := []member{}
	for _, s := range c.Shares() {
		members = append(members, member{
			Name: s.Name, Peer: s.PeerAddr, Started: time.Unix(0, int64(s.Incarnation)).UTC(), Self: s.ID == c.Self().ID, Share: s.Part,
		})
	}
	var err error
	w.Header().Set("Vary", "Accept")
	if wantsHTML(r.Header.Values("Accept")) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err = a.page.Execute(w, members)
	} else {
		w.Header().Set("Content-Type", "application/json")
		err = json.NewEncoder(w).Encode(map[string]any{"members": members})
	}
	if err != nil {
		a.log.Debug().Err(err).Msg("cluster page not sent")
	}
}

// wantsHTML reports whether an Accept header (RFC 9110, section 12.5.1) prefers a
// page to JSON. Of equals, such as */*, JSON is for programs, which seldom ask.
func wantsHTML(accept []string) bool {
	html, js := quality(accept, "text", "html"), quality(accept, "application", "json")
	return html > js
}

// quality is the weight of a media type: that of the most specific range that
// covers it.
func quality(accept []string, kind, subtype string) (q float64) {
	best := 0
	for _, field := range accept {
		for part := range strings.SplitSeq(field, ",") {
			media, params, err := mime.ParseMediaType(part)
			specific := map[string]int{"*/*": 1, kind + "/*": 2, kind + "/" + subtype: 3}[media]
			if err != nil || specific <= best {
				continue
			}
			best, q = specific, 1
			if weight, err := strconv.ParseFloat(params["q"], 64); err == nil {
				q = weight
			}
		}
	}
	return q
}
