package httpapi

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"time"

	"larder/httpapi/auth"
	"larder/keys"
	"larder/store"
)

// A listing with links shows keys as if a "/" in them began a folder, for browsers, and
// for programs that find out by links what is there: fsspec, rclone, wget. It is asked
// for by Accept: text/html, of a service, of a ?prefix=, or of a path that ends with "/"
// and is no object's.

// pagePolicy lets a page of hostile names do nothing but show them.
const pagePolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// afterAll follows everything that a place can go on with.
const afterAll = "\U0010ffff"

// wantsPage reports whether a request asks for HTML by name.
func wantsPage(h http.Header) bool {
	return strings.Contains(strings.ToLower(strings.Join(h.Values("Accept"), ",")), "text/html")
}

// orFolder answers a read, and if there is no object of the key, with the listing of the
// folder of that name, to a caller who wants a page.
func orFolder(read func(*API, *call) error) func(*API, *call) error {
	return func(a *API, c *call) error {
		err := read(a, c)
		if !errors.Is(err, store.ErrNotFound) || c.w.status != 0 || !c.wantsFolder() {
			return err
		}
		dropObject(c.w.Header())
		return a.sendFolder(c, strings.TrimSuffix(c.key.Name, "/")+"/", err)
	}
}

// wantsFolder reports whether a read of what is no object may be one of a folder. Without a
// "/" at the end only a GET is, for nothing but HTML: there are clients that say that they
// take HTML, among other things, whatever they want, and rclone asks by HEAD for what is no folder.
func (c *call) wantsFolder() bool {
	if c.query.Has("key") || !wantsPage(c.Header) {
		return false
	}
	return strings.HasSuffix(c.key.Name, "/") || c.Method == http.MethodGet && c.Header.Get("Accept") == "text/html"
}

// folder is a page under way.
type folder struct {
	*listing
	under string // what all keys begin with, up to the last "/"
	lead  string // what links begin with: empty where the page's own path ends with what is listed
	begun bool
	last  string // the folder that was shown last
}

// sendFolder answers with a page. If nothing is there, none is the error, unless it is nil.
func (a *API) sendFolder(c *call, prefix string, none error) error {
	narrowed, look, err := c.who.Listed(c.service, prefix)
	if err != nil {
		return err
	}
	f := &folder{listing: &listing{service: c.service, look: look}, under: prefix[:strings.LastIndexByte(prefix, '/')+1]}
	if f.prefix, err = keys.PlacePrefix(c.who.Org, c.service, narrowed); err != nil {
		return err
	}
	if c.query.Has("prefix") || !strings.HasSuffix(c.URL.EscapedPath(), "/") {
		f.lead = "/v1/" + c.service + "/" + escapedPath(f.under)
	}
	for more := true; more; {
		var rows strings.Builder
		if more, err = a.folderPage(c, f, &rows); err != nil {
			return err
		}
		if rows.Len() == 0 && (more || !f.begun && none != nil) {
			continue
		}
		if err := f.send(c, rows.String()); err != nil || c.Method == http.MethodHead {
			return err
		}
	}
	if !f.begun {
		return none
	}
	_, err = c.w.Write([]byte("</pre></body></html>\n"))
	return err
}

// folderPage adds the rows of what one request to the store lists. What is in a folder
// within is passed over at once.
func (a *API) folderPage(c *call, f *folder, rows *strings.Builder) (more bool, err error) {
	entries, more, err := a.list.List(c.Context(), f.prefix, f.after, storePage)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		f.after = e.Name
		item, ok := f.match(e)
		if !ok || f.look && c.who.May(auth.Read, f.service, item.Key) != nil {
			continue
		}
		rest, _ := strings.CutPrefix(item.Key, f.under)
		name, _, within := strings.Cut(rest, "/")
		if !within {
			f.row(rows, name, false, fmt.Sprintf("%s %12d", e.Modified.UTC().Format(time.DateTime), e.Size))
			continue
		}
		if inner := f.under + name + "/"; inner != f.last {
			f.last = inner
			f.row(rows, name, true, "")
		}
	}
	if f.last != "" && more && len(entries) > 0 {
		inner, err := keys.PlacePrefix(c.who.Org, c.service, f.last)
		if err == nil && strings.HasPrefix(f.after, inner) {
			f.after = inner + afterAll
		}
	}
	return more, nil
}

// row adds a link to a key, or to a folder. One of which a client would make something
// else as a path names it in the query. A link has no character that HTML escapes, since not every client
// undoes that.
func (f *folder) row(rows *strings.Builder, name string, within bool, about string) {
	end := ""
	if within {
		end = "/"
	}
	href := f.lead + escaped(name) + end
	switch segments := strings.Split(f.under+name, "/"); {
	case within && (f.service != keys.Objects || slices.ContainsFunc(segments, isHostile)):
		href = "/v1/" + f.service + "/?prefix=" + escaped(f.under+name+end)
	case slices.ContainsFunc(segments, isHostile):
		href = "/v1/" + f.service + "/?key=" + escaped(f.under+name)
	}
	if name == "" {
		name = f.under // a key that ends as a folder does
	}
	fmt.Fprintf(rows, "%-34s <a href=\"%s\"><bdi>%s</bdi></a>\n", about, href, html.EscapeString(name+end))
}

// isHostile reports whether clients take a part of a path for something else.
func isHostile(segment string) bool { return segment == "" || segment == "." || segment == ".." }

// escaped is a text of which only letters, digits and "-._~=" are left as they are.
func escaped(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~="
	var b strings.Builder
	for _, c := range []byte(text) {
		if strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// escapedPath is escaped of each part of a path.
func escapedPath(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = escaped(parts[i])
	}
	return strings.Join(parts, "/")
}

// send sends rows, and before them the beginning of the page.
func (f *folder) send(c *call, rows string) error {
	if !f.begun {
		f.begun = true
		h := c.w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept")
		title := html.EscapeString(c.service + ": " + f.under)
		rows = "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>" + title + "</title></head><body><h1><bdi>" + title + "</bdi></h1><pre>\n" + rows
	}
	if c.Method == http.MethodHead {
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	if _, err := c.w.Write([]byte(rows)); err != nil {
		return err
	}
	return c.w.FlushError()
}
