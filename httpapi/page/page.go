// Package page is the page at /ui/: what a browser needs to find objects, follow
// builds and look after the cluster, embedded in the binary.
//
// Its files hold no data and no secret, so that they are served to anybody; what the
// page shows it asks of /v1/ with the caller's own token. Every answer forbids the
// browser to run, or to ask, anything that is not of this node. Package httpapi
// serves it. A Page never changes and is safe for concurrent use.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

// Root is the path of the page.
const Root = "/ui/"

// Config is what the page is told of the node. It is no secret.
type Config struct {
	// Issuer is the URL of an identity provider by which people sign in, ClientID the public
	// client that the page is there; without one of them they sign in with a token.
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// Audience is what a token must be issued for.
	Audience string `json:"audience"`
}

// Page is the files. Make one with New.
type Page struct {
	files  map[string]file // by the path of a request
	policy string
}

// file is one file of the page, as it is and compressed.
type file struct {
	kind        string
	plain, gzip body
}

type body struct {
	bytes []byte
	etag  string
}

func bodyOf(b []byte) body {
	sum := sha256.Sum256(b)
	return body{bytes: b, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// New compresses the files.
func New(cfg Config) (*Page, error) {
	p := &Page{files: map[string]file{}, policy: fmt.Sprintf(policy, "")}
	if cfg.Issuer == "" || cfg.ClientID == "" {
		cfg = Config{}
	} else {
		u, err := url.Parse(cfg.Issuer)
		if err != nil {
			return nil, fmt.Errorf("issuer: %w", err)
		}
		p.policy = fmt.Sprintf(policy, " "+u.Scheme+"://"+u.Host)
	}
	told, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	if err := p.add(Root+"signin.json", told); err != nil {
		return nil, err
	}
	return p, p.addAll()
}

func (p *Page) addAll() error {
	err := fs.WalkDir(assets, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		return p.add(Root+strings.TrimPrefix(name, "assets/"), content)
	})
	if err != nil {
		return fmt.Errorf("files of the page: %w", err)
	}
	p.files[Root] = p.files[Root+"index.html"]
	delete(p.files, Root+"index.html")
	return nil
}

func (p *Page) add(at string, content []byte) error {
	kinds := map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".json": "application/json"}
	kind, ok := kinds[path.Ext(at)]
	if !ok {
		return fmt.Errorf("%s is no kind of file that the page has", at)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	p.files[at] = file{
		kind:  mime.FormatMediaType(kind, map[string]string{"charset": "utf-8"}),
		plain: bodyOf(content), gzip: bodyOf(packed.Bytes()),
	}
	return nil
}

// policy is what a browser may do for the page (Content Security Policy, level 3); %s is
// the origin of the identity provider, which the page asks for a token when somebody signs in.
// No text becomes markup or a script: keys and metadata are what others wrote.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'%s; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Serve answers a GET or HEAD of a path within Root, or of one that leads there, and reports whether there is
// such a file; if not, nothing was answered. A browser asks each time whether a file
// has changed, so that none is older than the node that served it.
func (p *Page) Serve(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case "/": // of browsers alone
		w.Header().Set("Vary", "Accept")
		http.Redirect(w, r, Root, http.StatusFound)
		return true
	case strings.TrimSuffix(Root, "/"):
		http.Redirect(w, r, Root, http.StatusPermanentRedirect)
		return true
	}
	f, ok := p.files[r.URL.Path]
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", f.kind)
	b := f.plain
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		b = f.gzip
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", b.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.bytes))
	return true
}

// takesGzip reports whether a caller takes gzip. Who says more of it than its name, a
// weight of 0 for example, is given the file as it is.
func takesGzip(accept []string) bool {
	for _, field := range accept {
		for coding := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				return true
			}
		}
	}
	return false
}
