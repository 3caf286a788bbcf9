package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// TestBatch puts many objects in one exchange, and gets them in another, through
// another node: short and long ones, and ones that fail, each by itself.
func TestBatch(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 2, Flags: []string{"--chunk-size=64KiB"}})
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	content := map[string]string{"a b/ü?%": "short", "long": strings.Repeat("l", 200<<10), "empty": ""}
	var names []string
	add := func(location, body string, header ...string) {
		h := map[string][]string{"Content-Location": {location}}
		for i := 0; i < len(header); i += 2 {
			h[header[i]] = []string{header[i+1]}
		}
		part, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, body)
	}
	for i := range 60 {
		content[fmt.Sprint("n", i)] = fmt.Sprint("value ", i)
	}
	for name, body := range content {
		names = append(names, name)
		add("/v1/objects/"+url.PathEscape(name), body, "Larder-Meta-Build-Seconds", "14", "Content-Length", fmt.Sprint(len(body)))
	}
	add("/v1/objects/n1", "again")
	add("/v1/objects?key=wrong", "bytes", "Repr-Digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")
	add("/v1/objects/shorter", "bytes", "Content-Length", "4")
	add("/v1/strategies/k", "bytes")
	add("/v1/objects/n2", "no", "If-None-Match", "*")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines := do(t, "POST", c.Nodes[0].URL()+"/v1/batch/objects", form.Bytes(), "Content-Type", "multipart/mixed; boundary="+w.Boundary()).want(t, 200)
	got := map[string]int{}
	for line := range strings.Lines(string(lines.body)) {
		var l struct {
			Key, ETag, Type string
			Status          int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if (l.Status < 300) != (l.ETag != "" && l.Type == "") {
			t.Errorf("a line %s", line)
		}
		got[fmt.Sprint(l.Key, " ", l.Status)]++
	}
	for _, want := range []string{"a b/ü?% 201", "long 201", "empty 201", "n1 201", "n1 400", "wrong 400", "shorter 400", "/v1/strategies/k 400", "n2 400"} {
		if got[want] != 1 {
			t.Errorf("no line says %s: %v", want, got)
		}
	}
	for _, name := range []string{"wrong", "shorter"} {
		do(t, "GET", c.Nodes[0].URL()+"/v1/objects/"+name, nil).want(t, 404)
	}
	names = append(names, "missing", "\x00", names[0])
	content["missing"], content["\x00"] = "urn:larder:problem:not-found", "urn:larder:problem:bad-key"
	getBatch(t, c.Nodes[1].URL(), names, content)
}

// A caller who asks for many and closes its side holds nothing up: the connection ends.
func TestBatchOfOneWhoLeaves(t *testing.T) {
	t.Parallel()
	n := testcluster.New(t, testcluster.Options{}).Nodes[0]
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint("missing ", i))
	}
	asked, _ := json.Marshal(map[string][]string{"get": names})
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/batch/objects HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(asked), asked)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(answerLimit))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the node neither answers nor ends the connection")
	}
}

// getBatch wants a part for each key, in order, with these contents or problems.
func getBatch(t *testing.T, node string, names []string, content map[string]string) {
	t.Helper()
	asked, _ := json.Marshal(map[string][]string{"get": names})
	answer := do(t, "POST", node+"/v1/batch/objects", asked, "Content-Type", "application/json").want(t, 200)
	_, params, err := mime.ParseMediaType(answer.header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(bytes.NewReader(answer.body), params["boundary"])
	for _, name := range names {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		status, location := part.Header.Get("Larder-Status"), part.Header.Get("Content-Location")
		if err != nil || part.Header.Get("Content-Length") != fmt.Sprint(len(body)) || location != "/v1/objects/"+url.PathEscape(name) {
			t.Fatalf("%q: %v, %v", name, part.Header, err)
		}
		ok := status == "200" && string(body) == content[name] && part.Header.Get("Larder-Meta-Build-Seconds") == "14" && part.Header.Get("Etag") != ""
		if !ok && (status == "200" || !strings.Contains(string(body), content[name])) {
			t.Fatalf("%q: %v, %.40q", name, part.Header, body)
		}
	}
	if _, err := parts.NextRawPart(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last part: %v", err)
	}
}

// A batch that is none, is too long or breaks off is refused with a word, and what
// came whole before the break is stored.
func TestBadBatches(t *testing.T) {
	t.Parallel()
	url := testcluster.New(t, testcluster.Options{}).Nodes[0].URL() + "/v1/batch/objects"
	many, _ := json.Marshal(map[string][]string{"get": make([]string, 1001)})
	for _, bad := range []struct {
		media, body string
		status      int
		problem     string
	}{
		{"", `{"get": []}`, 415, "batch-type"},
		{"text/plain", `{"get": []}`, 415, "batch-type"},
		{"multipart/mixed", `--b--`, 415, "batch-type"},
		{"application/json", `["a"]`, 400, "bad-body"},
		{"application/json", `{"put": ["a"]}`, 400, "bad-body"},
		{"application/json", `{"get": ["a"`, 400, "bad-body"},
		{"application/json", string(many), 400, "bad-body"},
		{"application/json", `{"get": []} and more`, 400, "bad-body"},
	} {
		a := do(t, "POST", url, []byte(bad.body), "Content-Type", bad.media)
		if a.status != bad.status || !strings.Contains(string(a.body), "problem:"+bad.problem) {
			t.Errorf("%s %.40s: %d %s", bad.media, bad.body, a.status, a.body)
		}
	}
	a := do(t, "POST", url, []byte("--b\r\nContent-Location: /v1/objects/k\r\n\r\nwhole\r\n--b\r\nContent-Location: /v1/objects/l\r\n\r\ncut"),
		"Content-Type", "multipart/mixed; boundary=b").want(t, http.StatusOK)
	if text := string(a.body); !strings.Contains(text, `"key":"k","status":201`) || !strings.Contains(text, `"key":"","status":400`) {
		t.Errorf("answered %s", text)
	}
	do(t, "GET", strings.Replace(url, "batch/objects", "objects/l", 1), nil).want(t, 404)
	for name, body := range map[string]string{
		"no end":        "--b\r\nContent-Location: /v1/objects/k\r\n\r\nwhole\r\n--b\r\n",
		"a long header": "--b\r\nContent-Location: /v1/objects/k\r\n\r\nwhole\r\n--b\r\nLarder-Meta-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n\r\n--b--\r\n",
	} {
		a := do(t, "POST", url, []byte(body), "Content-Type", "multipart/mixed; boundary=b").want(t, http.StatusOK)
		if text := string(a.body); !strings.Contains(text, `"key":"k","status":200`) || !strings.Contains(text, `"key":"","status":400`) {
			t.Errorf("%s: answered %s", name, text)
		}
	}
}
