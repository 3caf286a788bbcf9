package page

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "where to put pictures of the page; empty for none")

var everyLook = flag.Bool("every-look", false, "take pictures in dark and of a narrow window too")

// shelf puts what a small research group has.
func (c cluster) shelf(t testing.TB) {
	t.Helper()
	settings := []string{
		`{"costs":"0.1","default_rs_start_date":"2009-01-02","universe":"'DAX'"}`, `{"costs":"0.1","default_rs_start_date":"2012-01-02","universe":"'STOXX'"}`,
	}
	const libraries = "numpy=2.3.1 pandas=2.3.0 larder=1.4.0"
	for i, ticker := range []string{"AAPL", "MSFT", "NFLX", "CSCO", "ORCL", "SAP", "SIE"} {
		for day := 27; day <= 31; day++ {
			for h, hash := range []string{"41160d054edf7f0960015019d902b27e", "2317845f7eea8c7d8413ae7fe7687474"} {
				if (i+day+h)%4 == 0 {
					continue
				}
				c.put(t, "strategies", fmt.Sprintf("%s REINV STRATEGY|2022-01-%dT00:00:00+00:00||%s", ticker, day, hash), fmt.Sprintf("\x80\x05%0*d", 40_000*(i+1), day),
					"Larder-Meta-Build-Seconds", fmt.Sprint(37.2*float64(i+1)), "Larder-Meta-Python", "3.12.4", "Larder-Meta-Libraries", libraries,
					"Larder-Meta-Format", "pickle", "Larder-Meta-Env-Hash", hash, "Larder-Meta-Settings", settings[h])
			}
		}
	}
	for day := 1; day <= 28; day++ {
		c.put(t, "objects", fmt.Sprintf("prices/2022-02-%02d", day), fmt.Sprintf(`{"SAP": %d.5, "SIE": 132.04, "close": "2022-02-%02d"}`, 100+day, day), "Content-Type", "application/json",
			"Larder-Meta-Build-Seconds", "412", "Larder-Meta-Python", "3.12.4", "Larder-Meta-Libraries", libraries, "Larder-Meta-Function", "desk.load_prices")
		c.put(t, "objects", fmt.Sprintf("universe(index='DAX', window=20)_2022-02-%02d", day), fmt.Sprint("ADS, ALV, BAS, ", day), "Content-Type", "text/plain", "Larder-Expires-In", "864000")
	}
}

// picture writes what the page shows to a file.
func (w *tab) picture(name string) {
	w.t.Helper()
	w.do(chromedp.Evaluate[chromedp.Void](`document.getAnimations().forEach(a => a.finish())`))
	taken, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		w.t.Fatal(err)
	}
	shown, err := png.Decode(bytes.NewReader(taken))
	if err != nil {
		w.t.Fatal(err)
	}
	var small bytes.Buffer // a browser takes little time, and much room
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, shown); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), small.Bytes(), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// read reads objects, so that there is something to be saved.
func (c cluster) read(t testing.TB) {
	t.Helper()
	for day := 1; day <= 20; day++ {
		for i, who := range []credential{c.ada, c.rob, c.grace} {
			if (day+i)%3 > 0 {
				c.send(t, who, "GET", fmt.Sprintf("/v1/objects/prices/2022-02-%02d", day), "")
				c.send(t, who, "GET", "/v1/strategies?key="+url.QueryEscape(fmt.Sprintf("SAP REINV STRATEGY|2022-01-%dT00:00:00+00:00||41160d054edf7f0960015019d902b27e", 27+day%5)), "")
			}
		}
	}
	c.send(t, c.rob, "DELETE", "/v1/objects/prices/2022-02-01", "")
}

// build begins a build, and tells how far it is.
func (c cluster) build(t testing.TB, key string, expect, progress float64, message string, waiting int) {
	t.Helper()
	path := "/v1/builds/objects?key=" + url.QueryEscape(key)
	status, answer := c.send(t, c.ada, "POST", path, fmt.Sprintf(`{"expect": %g}`, expect))
	var granted struct{ Claim string }
	if err := json.Unmarshal(answer, &granted); status != 201 || err != nil {
		t.Fatalf("%d %s", status, answer)
	}
	c.send(t, c.ada, "PUT", path, fmt.Sprintf(`{"progress": %g, "message": %q}`, progress, message), "Larder-Claim", granted.Claim)
	for i := range waiting {
		c.send(t, c.rob, "POST", path, fmt.Sprintf(`{"waiter": "waiter-%d"}`, i))
	}
}

// look is how a view is looked at.
type look struct {
	suffix        string
	width, height int64
	dark          bool
}

// TestScreenshots makes the pictures of README and docs: make screenshots.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return
	}
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(`- {org: acme, max_bytes: 20MiB, max_objects: 5000, cost_per_hour: 3.5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, 3, "--policy-file", policy)
	c.shelf(t)
	c.read(t)
	b := open(t)
	w := c.signIn(b, c.grace, "")
	for _, view := range []struct{ name, at, selector, shows string }{
		{"find", "#/find?service=strategies&prefix=A", "#results", "AAPL"},
		{"table", "#/find?service=strategies&view=table", "#results", "AAPL"},
		{"object", "#/object/strategies/" + url.PathEscape("SAP REINV STRATEGY|2022-01-28T00:00:00+00:00||41160d054edf7f0960015019d902b27e"), "#preview", "pickle"},
		{"why", "#/object/strategies/" + url.PathEscape("AAPL REINV STRATEGY|2022-01-28T00:00:00+00:00||41160d054edf7f0960015019d902b27e"), ".nearest", "differs"},
		{"builds", "#/builds", "#view", "waits"},
		{"saved", "#/saved", "#view", "Limits"},
		{"cluster", "#/cluster", "#view", "node-3"},
	} {
		if view.name == "builds" {
			c.build(t, "universe(index='STOXX', window=20)_2022-02-28", 300, 0.4, "loading prices of 600 shares", 3)
			c.build(t, "risk model 2022-02-28", 900, 0.1, "", 0)
		}
		w.visit(view.at)
		looks := []look{{"", 1280, 800, false}}
		if *everyLook {
			looks = append(looks, look{"-dark", 1280, 800, true}, look{"-narrow", 700, 900, false})
		}
		for _, look := range looks {
			w.dark(look.dark)
			w.do(chromedp.EmulateViewport(look.width, look.height))
			w.shows(view.selector, view.shows)
			w.picture(view.name + look.suffix)
		}
	}
}
