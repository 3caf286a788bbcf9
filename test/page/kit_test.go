// Package page tests the page at /ui/ in a real Chromium, against real nodes.
package page

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"larder/test/testcluster"
)

// chromium is the browser; axe is the file of axe-core, which looks for what keeps people
// from using a page.
var (
	chromium = flag.String("chromium", "chromium", "the browser to test in")
	axe      = flag.String("axe", "../../bin/axe-0.1.8/axe_playwright_python/axe.min.js", "the file of axe-core; 'make axe' fetches it")
)

func TestMain(m *testing.M) { testcluster.Main(m) }

// seen bounds the wait for what the page is to show.
const seen = 60 * time.Second

// browser is one Chromium; its tabs are those of one person.
type browser struct {
	t   testing.TB
	ctx context.Context
}

func open(t testing.TB) browser {
	t.Helper()
	path, err := exec.LookPath(*chromium)
	if err != nil {
		t.Fatalf("no browser: %v; install Debian's chromium, or name another with -chromium", err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 860))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stopFirst := chromedp.NewContext(ctx)
	t.Cleanup(stopFirst)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return browser{t: t, ctx: ctx}
}

// tab is a window of the browser.
type tab struct {
	t   testing.TB
	ctx context.Context
}

// tab opens a window at an address. What the page throws, and what its policy forbids
// and it tries, fails the test.
func (b browser) tab(address string) *tab {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx)
	b.t.Cleanup(stop)
	w := &tab{t: b.t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for m, err := range console {
			if err != nil {
				return
			}
			if m.IsException() || strings.Contains(m.Text, "Content Security Policy") {
				b.t.Errorf("the page at %s: %s", address, m)
			}
		}
	}()
	b.t.Cleanup(func() { stop(); <-heard })
	w.do(chromedp.Navigate(address))
	return w
}

func (w *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, seen)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		body, _ := chromedp.Run(w.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		w.t.Fatalf("in the browser: %v; it shows:\n%s", err, body)
	}
}

// js is what an expression is in the page.
func js[T any](w *tab, expression string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, seen)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// shows waits until the text of what a selector finds holds all of these.
func (w *tab) shows(selector string, texts ...string) {
	w.t.Helper()
	testcluster.Eventually(w.t, seen, fmt.Sprintf("%s shows %q", selector, texts), func() error {
		got := js[string](w, fmt.Sprintf(`[...document.querySelectorAll(%q)].map(e => e.innerText).join("\n")`, selector))
		for _, text := range texts {
			if !strings.Contains(got, text) {
				return fmt.Errorf("it shows %q", got)
			}
		}
		return nil
	})
}

// press clicks on the button, link or label with this text.
func (w *tab) press(text string) {
	w.t.Helper()
	w.do(chromedp.Click(chromedp.Search(fmt.Sprintf(`//*[self::button or self::a or self::label or self::summary][normalize-space()=%q]`, text)), chromedp.NodeVisible))
}

// types replaces the text of an input, key by key.
func (w *tab) types(selector, text string) {
	w.t.Helper()
	w.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%q).select()`, selector)),
		chromedp.SendKeys(chromedp.CSS(selector), text))
}

// visit goes to another view, whose box is empty when it returns or already filled anew.
func (w *tab) visit(view string) {
	w.t.Helper()
	js[bool](w, fmt.Sprintf(`new Promise((done) => { addEventListener("hashchange", () => setTimeout(() => done(true)), {once: true}); location.hash = %q; })`, view))
}

// dark makes the system that the page asks a dark one, or a light one.
func (w *tab) dark(is bool) {
	w.t.Helper()
	scheme := "light"
	if is {
		scheme = "dark"
	}
	_, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// credential is a token, and its entry in a tokens file.
type credential struct {
	token string
	entry map[string]any
}

func mint(t testing.TB, user, role string) credential {
	t.Helper()
	var out, advice bytes.Buffer
	cmd := exec.Command(testcluster.Build(t), "token", "--org", "acme", "--user", user, "--role", role)
	cmd.Stdout, cmd.Stderr = &out, &advice
	if err := cmd.Run(); err != nil {
		t.Fatalf("node token: %v: %s", err, advice.Bytes())
	}
	_, line, _ := strings.Cut(advice.String(), "\n- ")
	c := credential{token: strings.TrimSpace(out.String())}
	if err := json.Unmarshal([]byte(line), &c.entry); err != nil {
		t.Fatalf("node token gives no entry: %s", advice.Bytes())
	}
	return c
}

// writeTokens replaces a tokens file at once.
func writeTokens(t testing.TB, path string, all ...credential) {
	t.Helper()
	var entries []map[string]any
	for _, c := range all {
		entries = append(entries, c.entry)
	}
	b, err := json.Marshal(entries)
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// cluster is nodes with three people.
type cluster struct {
	*testcluster.Cluster
	ada, rob, grace credential // a writer, a reader and an admin
	tokens          string     // the file
}

func start(t testing.TB, nodes int, flags ...string) cluster {
	t.Helper()
	c := cluster{ada: mint(t, "ada", "writer"), rob: mint(t, "rob", "reader"), grace: mint(t, "grace", "admin"), tokens: filepath.Join(t.TempDir(), "tokens")}
	writeTokens(t, c.tokens, c.ada, c.rob, c.grace)
	c.Cluster = testcluster.New(t, testcluster.Options{Nodes: nodes, Flags: append([]string{"--tokens-file", c.tokens, "--log-level", "warn"}, flags...)})
	return c
}

// put stores an object as ada, with header fields as name, value.
func (c cluster) put(t testing.TB, service, key, body string, header ...string) {
	t.Helper()
	status, answer := c.send(t, c.ada, http.MethodPut, "/v1/"+service+"?key="+url.QueryEscape(key), body, header...)
	if status/100 != 2 {
		t.Fatalf("put %s: %d %s", key, status, answer)
	}
}

// send sends a request to the first node.
func (c cluster) send(t testing.TB, who credential, method, path, body string, header ...string) (status int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.Nodes[0].URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+who.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// signIn opens the page as somebody, at a view.
func (c cluster) signIn(b browser, who credential, view string) *tab {
	b.t.Helper()
	w := b.tab(c.Nodes[0].URL() + "/ui/" + view)
	w.types("#token", who.token)
	w.press("Sign in")
	w.shows("#account", fmt.Sprint(who.entry["user"]))
	return w
}
