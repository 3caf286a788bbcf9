package page

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"larder/test/testcluster"
)

// writers is how many write keys at once.
const writers = 32

var keyCount = flag.Int("keys", 250, "how many keys there are to find one among")

const (
	markup = `<img src=x onerror="document.title='run'"><b>&amp;'"</b>`
	hash   = "41160d054edf7f0960015019d902b27e"
)

// Every view of the page, in a real browser, against two real nodes.
func TestPage(t *testing.T) {
	c := start(t, 2)
	fillShelves(t, c)
	b := open(t)
	for _, theme := range []struct {
		name string
		test func(*testing.T, cluster, browser)
	}{
		{"sign in", testSignIn},
		{"find", testFind},
		{"table", testTable},
		{"markup is text", testMarkup},
		{"object", testObject},
		{"previews", testPreviews},
		{"why", testWhy},
		{"a build in two windows", testBuild},
		{"a build that hangs", testEndBuild},
		{"saved", testSaved},
		{"cluster", testCluster},
		{"everybody can use it", testAxe},
		{"keyboard", testKeyboard},
		{"a token that ends", testExpired},
		{"the node dies", testKilled},
	} {
		t.Run(theme.name, func(t *testing.T) { theme.test(t, c, browser{t, b.ctx}) })
	}
}

// fillShelves puts many keys, and a few that the tests look for.
func fillShelves(t *testing.T, c cluster) {
	t.Helper()
	var wg sync.WaitGroup
	keys := make(chan int)
	for range writers {
		wg.Go(func() {
			for i := range keys {
				c.put(t, "objects", fmt.Sprintf("many/%06d", i), "x")
			}
		})
	}
	for i := range *keyCount {
		keys <- i
	}
	close(keys)
	wg.Wait()
	for _, day := range []string{"28", "29"} {
		for _, name := range []string{"AAPL", "MSFT"} {
			c.put(t, "strategies", name+" STRATEGY|2022-01-"+day+"T00:00:00+00:00||"+hash, "\x80\x05.", "Larder-Meta-Settings", `{"universe":"'DAX'"}`, "Larder-Meta-Env-Hash", hash)
		}
	}
	c.put(t, "objects", "prices", `{"SAP": 101.5}`, "Content-Type", "application/json", "Larder-Meta-Build-Seconds", "7200", "Larder-Meta-Python", "3.12.4",
		"Larder-Meta-Libraries", "numpy=2.3.1 pandas=2.3.0")
	c.put(t, "objects", "shortlived", "x", "Larder-Expires-In", "86000")
	c.put(t, "objects", markup, markup, "Content-Type", "text/plain", "Larder-Meta-Function", markup, "Larder-Meta-Settings", `{"`+strings.ReplaceAll(markup, `"`, `\"`)+`":"`+strings.ReplaceAll(markup, `"`, `\"`)+`"}`)
}

func testSignIn(t *testing.T, c cluster, b browser) {
	w := b.tab(c.Nodes[0].URL() + "/ui/")
	w.shows("#view", "Token")
	w.types("#token", "not-a-token")
	w.press("Sign in")
	w.shows(".problem", "not known here")
	w.types("#token", c.rob.token)
	w.press("Sign in")
	w.shows("#account", "rob")
	kept := js[string](w, `document.cookie + JSON.stringify(localStorage) + location.href`)
	if strings.Contains(kept, c.rob.token) || js[string](w, `JSON.stringify(sessionStorage)`) == "{}" {
		t.Errorf("the token is not in the tab's storage alone: %s", kept)
	}
	w.press("Sign out")
	w.shows("#view", "Token")
	if left := js[string](w, `JSON.stringify(sessionStorage)`); left != "{}" {
		t.Errorf("after signing out %s is left", left)
	}
}

// What begins with what is typed is there soon after the last key press; how soon is logged.
func testFind(t *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.rob, "#/find?prefix=many/")
	w.shows(".count", "100 keys on this page")
	w.press("Next")
	w.shows("tbody", "many/000100")
	w.press("Previous")
	w.shows("tbody", "many/000000")
	took := w.searches()
	t.Logf("among %d keys the first result is there %d ms after the last key press, as a median of %d searches (%d to %d ms, nine of ten within %d ms)",
		*keyCount, took[len(took)/2], len(took), took[0], took[len(took)-1], took[len(took)*9/10])
	if at := js[string](w, `location.hash`); !strings.Contains(at, "prefix=many%2F") {
		t.Errorf("the address is %s", at)
	}
	w.types("#prefix", "nothing like it")
	w.shows("#results", "No key begins with", "Why is it missing?")
	w.types("#prefix", "p")
	w.shows("tbody", "prices")
	w.do(chromedp.Click(chromedp.CSS("#by-size")))
	w.shows("[aria-sort]", "Size")
}

// stopwatch notes how long after the last key press the first frame is drawn that shows a
// key which begins with what was typed.
const stopwatch = `{
	const prefix = document.getElementById("prefix");
	prefix.addEventListener("input", () => { window.pressed = performance.now(); window.took = null; }, true);
	new MutationObserver(() => {
		if (window.took === null && document.querySelector("tbody a")?.textContent.startsWith(prefix.value)) {
			const {pressed} = window;
			requestAnimationFrame(() => { if (pressed === window.pressed) window.took ??= performance.now() - pressed; });
		}
	}).observe(document.getElementById("results"), {childList: true});
}`

// searches types keys, whole and in part, and returns how long each first result took, in
// milliseconds, the shortest first.
func (w *tab) searches() []int {
	w.t.Helper()
	w.do(chromedp.Evaluate[chromedp.Void](stopwatch))
	var took []int
	for i := range 21 {
		last := fmt.Sprintf("many/%06d", (i*7919+11)%*keyCount)
		w.types("#prefix", last[:len(last)-i%4])
		w.shows("tbody", last[:len(last)-i%4])
		testcluster.Eventually(w.t, seen, "a search ends", func() error {
			if ms := js[int](w, `Math.round(window.took ?? -1)`); ms >= 0 {
				took = append(took, ms)
				return nil
			}
			return errors.New("nothing is shown yet")
		})
	}
	slices.Sort(took)
	return took
}

func testTable(t *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.rob, "#/find?service=strategies&view=table")
	w.shows("#results", "AAPL STRATEGY", "MSFT STRATEGY", "2022-01-28", "2022-01-29", hash[:8])
	w.press("List")
	w.shows("#results", "4 keys")
	if n := js[int](w, `document.querySelectorAll("tbody tr").length`); n != 4 {
		t.Errorf("%d rows", n)
	}
}

// Keys and metadata are text, whatever they hold.
func testMarkup(t *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.rob, "#/find?prefix="+url.QueryEscape("<"))
	w.shows("tbody", markup)
	w.do(chromedp.Click(chromedp.CSS("tbody a")))
	w.shows("h1", markup)
	w.shows("dl", markup)
	w.shows("#preview", markup)
	w.shows(".snippet", `\"document.title='run'\"`, `%3Cimg`)
	for what, want := range map[string]int{`document.querySelectorAll("main img, main b").length`: 0, `document.title.includes("<img") ? 1 : 0`: 1} {
		if got := js[int](w, what); got != want {
			t.Errorf("%s is %d", what, got)
		}
	}
}

func testObject(t *testing.T, c cluster, b browser) {
	c.put(t, "objects", "to remove", "bytes")
	w := c.signIn(b, c.ada, "#/object/objects/prices")
	w.shows("dl", "ada", "2 h", "numpy 2.3.1", "3.12.4", "application/json")
	w.shows("#preview", `"SAP": 101.5`)
	w.shows(".snippet", `env.object_service().get("prices")`, "/v1/objects?key=prices")
	w.visit("#/object/objects/to%20remove")
	w.press("Remove …")
	w.shows("dialog", "to remove", "written by ada")
	w.press("Cancel")
	w.press("Remove …")
	w.press("Remove")
	w.shows("h1", "Removed")
	if status, _ := c.send(t, c.ada, "GET", "/v1/objects?key=to+remove", ""); status != 404 {
		t.Errorf("it is still there: %d", status)
	}
	reader := c.signIn(b, c.rob, "#/object/objects/prices")
	reader.shows("#preview", "SAP")
	if js[bool](reader, `document.body.innerText.includes("Remove")`) {
		t.Error("a reader is offered to remove")
	}
}

func testWhy(_ *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.rob, "#/object/strategies/"+url.PathEscape("AAPL STRATEGY|2022-01-30T00:00:00+00:00||"+hash))
	w.shows("#view", "There is nothing under this key", "the date: 2022-01-29T00:00:00+00:00 there, 2022-01-30T00:00:00+00:00 asked for")
	w.shows(".nearest", "AAPL STRATEGY|2022-01-29", "Date")
}

func testSaved(t *testing.T, c cluster, b browser) {
	for range 3 {
		c.send(t, c.rob, "GET", "/v1/objects/prices", "")
	}
	w := c.signIn(b, c.rob, "#/saved")
	w.shows("#view", "6.0 h", "3 reads", "prices", "rob", "no limit", "strategies")
	w.shows("#view", "Your builds served", "nobody yet")
	w.shows(`[aria-label="What expires within a week"]`, "shortlived", "ada", "in 23 h")
	writer := c.signIn(b, c.ada, "#/saved")
	writer.shows("#view", "1 person", "3 reads, 6.0 h")
	writer.visit("#/object/objects/prices")
	writer.shows("#life", "3 times", "saved 6.0 h", "a node (owner)")
	admin := c.signIn(b, c.grace, "#/object/objects/prices")
	admin.shows("#life", "node-", "(owner)")
	for path, want := range map[string]int{"/v1/about/objects/none": 404, "/v1/about/objects/prices?x=1": 400, "/v1/expiring?within=-1": 400, "/v1/expiring?within=60": 200} {
		if status, answer := c.send(t, c.rob, "GET", path, ""); status != want || want == 200 && !strings.Contains(string(answer), `"expiring":[]`) {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
}

func testCluster(t *testing.T, c cluster, b browser) {
	if status, answer := c.send(t, c.rob, "GET", "/v1/cluster", ""); status != 403 {
		t.Errorf("a reader sees the cluster: %d %s", status, answer)
	}
	w := c.signIn(b, c.grace, "#/cluster")
	w.shows("#view", "node-1", "node-2", "ready", "Reads by where the bytes came from")
	w.shows("#view", "rob", "read-only")
	if js[bool](c.signIn(b, c.rob, ""), `document.getElementById("nav").innerText.includes("Cluster")`) {
		t.Error("a reader is offered the cluster")
	}
}

// axe-core finds nothing that keeps people from using a view, in light and in dark.
func testAxe(t *testing.T, c cluster, b browser) {
	script, err := os.ReadFile(*axe)
	if err != nil {
		t.Fatalf("%v: 'make axe' fetches it", err)
	}
	w := c.signIn(b, c.grace, "")
	w.do(chromedp.Evaluate[chromedp.Void](string(script)))
	for _, view := range []struct{ at, selector, shows string }{
		{"#/find?service=strategies&prefix=A&age=-604800", "#results", "AAPL"},
		{"#/find?service=strategies&view=table", "#results", "AAPL"},
		{"#/object/objects/prices", "#preview", "SAP"},
		{"#/object/objects/price", ".nearest", "prices"},
		{"#/builds", "#view", "Nothing"},
		{"#/saved", "#view", "Limits"},
		{"#/cluster", "#view", "node-2"},
		{"", "#view", "Token"},
	} {
		if view.at == "" {
			w.press("Sign out")
		} else {
			w.visit(view.at)
		}
		w.shows(view.selector, view.shows)
		for _, dark := range []bool{false, true} {
			w.dark(dark)
			rules := `{preload: false}`
			if dark {
				rules = `{preload: false, runOnly: ["color-contrast", "link-in-text-block"]}` // all else is as in light
			}
			found := js[string](w, `document.getAnimations().forEach(a => a.finish()), axe.run(`+rules+`).then(r => r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html + n.any.map(a => a.message)).join(" ")).join("\n"))`)
			if found != "" {
				t.Errorf("%s, dark %v: %s", view.at, dark, found)
			}
		}
	}
}

func testKeyboard(t *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.rob, "#/builds")
	w.shows("h1", "Builds")
	w.visit("#/find?prefix=pri")
	w.shows("tbody", "prices")
	w.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`), chromedp.KeyEvent("/"))
	if at := js[string](w, `document.activeElement.id`); at != "prefix" {
		t.Errorf("after / the focus is on %q", at)
	}
	w.types("#prefix", "pri") // the browser types the / as well, since the keys of a test come in parts
	// The headings of the columns come first. A result that comes late takes the focus with what it replaces.
	testcluster.Eventually(t, seen, "the keyboard opens the object", func() error {
		at := js[string](w, `document.activeElement.textContent`)
		key := "\t"
		switch {
		case js[string](w, `document.querySelector("h1").innerText`) == "prices":
			return nil
		case at == "prices":
			key = "\r"
		}
		w.do(chromedp.KeyEvent(key))
		return fmt.Errorf("the focus was on %q", at)
	})
}

// Who signed in with a token that is no longer good is told so, and comes back to where
// he was.
func testExpired(t *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.ada, "#/find?prefix=pri")
	w.shows("tbody", "prices")
	writeTokens(t, c.tokens, c.rob, c.grace)
	testcluster.Eventually(t, seen, "the token is no longer good", func() error {
		if status, _ := c.send(t, c.ada, "GET", "/v1/whoami", ""); status != 401 {
			return fmt.Errorf("%d", status)
		}
		return nil
	})
	w.types("#prefix", "price")
	w.shows(".problem", "not known here")
	w.types("#token", c.rob.token)
	w.press("Sign in")
	w.shows("tbody", "prices")
	w.shows("#account", "rob")
}

func testKilled(_ *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.rob, "#/find?prefix=pri")
	w.shows("tbody", "prices")
	c.Nodes[0].Kill()
	w.types("#prefix", "price")
	w.shows("#banner", "does not answer")
	c.Nodes[0].Start()
	w.shows("tbody", "prices")
	w.shows("#account", "rob")
}
