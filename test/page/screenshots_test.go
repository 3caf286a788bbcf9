package page

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "where to put pictures of the page; empty for none")

// shelf puts what a small research group has.
func (c cluster) shelf(t testing.TB) {
	t.Helper()
	const settings = `{"costs":"0.1","default_rs_start_date":"2009-01-02","universe":"'DAX'"}`
	const libraries = "numpy=2.3.1 pandas=2.3.0 larder=1.4.0"
	for i, ticker := range []string{"AAPL", "MSFT", "NFLX", "CSCO", "ORCL", "SAP", "SIE"} {
		for day := 27; day <= 31; day++ {
			for h, hash := range []string{"41160d054edf7f0960015019d902b27e", "2317845f7eea8c7d8413ae7fe7687474"} {
				if (i+day+h)%4 == 0 {
					continue
				}
				c.put(t, "strategies", fmt.Sprintf("%s REINV STRATEGY|2022-01-%dT00:00:00+00:00||%s", ticker, day, hash), fmt.Sprintf("\x80\x05%0*d", 40_000*(i+1), day),
					"Larder-Meta-Build-Seconds", fmt.Sprint(37.2*float64(i+1)), "Larder-Meta-Python", "3.12.4", "Larder-Meta-Libraries", libraries,
					"Larder-Meta-Format", "pickle", "Larder-Meta-Env-Hash", hash, "Larder-Meta-Settings", settings)
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
func (w *tab) picture(name string, width, height int64) {
	w.t.Helper()
	w.do(chromedp.EmulateViewport(width, height))
	png, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// TestScreenshots makes the pictures of README and docs: make screenshots.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return
	}
	c := start(t, 3)
	c.shelf(t)
	b := open(t)
	w := c.signIn(b, c.grace, "#/find?service=strategies&prefix=A")
	w.shows("#results", "AAPL")
	w.picture("find", 1280, 800)
	w.do(chromedp.Navigate(c.Nodes[0].URL() + "/ui/#/find?service=strategies&view=table"))
	w.shows("#results", "AAPL")
	w.picture("table", 1280, 800)
	w.do(chromedp.Navigate(c.Nodes[0].URL() + "/ui/#/object/objects/prices%2F2022-02-01"))
	w.shows("#preview", "SAP")
	w.picture("object", 1280, 900)
	w.picture("object-narrow", 420, 900)
	w.dark()
	w.picture("object-dark", 1280, 900)
}
