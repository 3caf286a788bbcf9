package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larder/test/testcluster"
)

// TestTools runs the programs that researchers have, unmodified, with tokens.
func TestTools(t *testing.T) {
	t.Parallel()
	cred := mint(t, "lab", "ada", "writer")
	file := filepath.Join(t.TempDir(), "tokens.json")
	if err := os.WriteFile(file, cred.appended, 0o600); err != nil {
		t.Fatal(err)
	}
	c := testcluster.New(t, testcluster.Options{Nodes: 2, Flags: []string{"--tokens-file", file}})
	t.Run("curl", func(t *testing.T) { testCurl(t, c, cred) })
	t.Run("urllib", func(t *testing.T) { testPython(t, c, cred, urllibSession) })
	t.Run("fsspec", func(t *testing.T) { testPython(t, c, cred, fsspecSession) })
	t.Run("ccache", func(t *testing.T) { testCcache(t, c, cred) })
	t.Run("node check", func(t *testing.T) {
		out := run(t, nil, []string{"LARDER_TOKEN=" + cred.token}, testcluster.Build(t), "check", c.Nodes[0].URL())
		for _, step := range []string{"put", "get", "list", "delete", "gone"} {
			if !bytes.Contains(out, []byte(step)) {
				t.Errorf("node check does not report %s: %s", step, out)
			}
		}
		if said := refusal(t, []string{"check", c.Nodes[0].URL()}); !strings.Contains(said, "LARDER_TOKEN") {
			t.Errorf("node check without a token: %s", said)
		}
	})
}

func testCurl(t *testing.T, c *testcluster.Cluster, cred credential) {
	body := noise(1, 2_000_000) // large enough for curl to send Expect: 100-continue
	local := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(local, body, 0o600); err != nil {
		t.Fatal(err)
	}
	curl := func(args ...string) []byte {
		t.Helper()
		return run(t, nil, nil, "curl", append([]string{"-sS", "--noproxy", "*", "--max-time", "20", "--fail-with-body"}, args...)...)
	}
	basic := []string{"-u", "ada:" + cred.token}
	bearer := []string{"-H", "Authorization: Bearer " + cred.token}
	for _, access := range [][]string{basic, bearer} {
		with := func(args ...string) []byte {
			t.Helper()
			return curl(append(append([]string{}, access...), args...)...)
		}
		with("-T", local, c.Nodes[0].URL()+"/v1/objects/from/curl")
		if got := with(c.Nodes[1].URL() + "/v1/objects/from/curl"); !bytes.Equal(got, body) {
			t.Errorf("%d other bytes came back", len(got))
		}
		if got := with("-r", "1000-1009", c.Nodes[1].URL()+"/v1/objects/from/curl"); !bytes.Equal(got, body[1000:1010]) {
			t.Errorf("a range of %d other bytes came back", len(got))
		}
		if got := with("-G", "--data-urlencode", "prefix=from/", c.Nodes[1].URL()+"/v1/objects"); !bytes.Contains(got, []byte(`"from/curl"`)) {
			t.Errorf("listed: %s", got)
		}
		if got := with("-I", c.Nodes[1].URL()+"/v1/objects/from/curl"); !bytes.Contains(got, []byte("Content-Length: 2000000")) {
			t.Errorf("the header: %s", got)
		}
		with("-X", "DELETE", c.Nodes[1].URL()+"/v1/objects/from/curl")
		status := run(t, nil, nil, "curl", append(access, "-sS", "--noproxy", "*", "-o", os.DevNull, "-w", "%{http_code}", c.Nodes[0].URL()+"/v1/objects/from/curl")...)
		if string(status) != "404" {
			t.Errorf("deleted, and still %s", status)
		}
	}
}

// The sessions get two endpoints, a token and a file of bytes as arguments.
const urllibSession = `
import json, pickle, sys, urllib.error, urllib.parse, urllib.request
one, two, token, local = sys.argv[1:]
def call(method, url, data=None):
    r = urllib.request.Request(url, data=data, method=method, headers={"Authorization": "Bearer " + token})
    with urllib.request.urlopen(r, timeout=20) as answer:
        return answer.status, answer.headers, answer.read()
value = {"DAX": list(range(50_000)), "name": "universe"}
key = "/v1/objects/" + urllib.parse.quote("DAX 20220104|ü", safe="")
assert call("PUT", one + key, pickle.dumps(value))[0] == 201
status, headers, body = call("GET", two + key)
assert status == 200 and pickle.loads(body) == value and headers["ETag"], headers
listing = json.loads(call("GET", two + "/v1/objects?" + urllib.parse.urlencode({"prefix": "DAX"}))[2])
assert [k["key"] for k in listing["keys"]] == ["DAX 20220104|ü"], listing
assert call("DELETE", two + key)[0] == 204
try:
    call("GET", one + key)
    raise AssertionError("still there")
except urllib.error.HTTPError as e:
    assert e.code == 404 and json.load(e)["type"] == "urn:larder:problem:not-found"
`

const fsspecSession = `
import pickle, sys, fsspec
one, two, token, local = sys.argv[1:]
fs = fsspec.filesystem("http", headers={"Authorization": "Bearer " + token}, use_listings_cache=False)
content = open(local, "rb").read()
url = "/v1/objects/from/fsspec.pickle"
assert not fs.exists(two + url)
fs.put_file(local, one + url, method="put")
assert fs.exists(two + url)
assert fs.info(two + url)["size"] == len(content)
assert fs.cat_file(two + url) == content
assert fs.cat_file(two + url, start=100, end=250) == content[100:250]
with fs.open(two + url, "rb", block_size=4096) as f:
    f.seek(200_000)
    assert f.read(10_000) == content[200_000:210_000]
    f.seek(-5, 2)
    assert f.read() == content[-5:]
with fs.open(two + url, "rb") as f:
    assert pickle.load(f)["name"] == "of the test"
try:
    fs.cat_file(two + url + "-absent")
    raise AssertionError("it is there")
except FileNotFoundError:
    pass
`

func testPython(t *testing.T, c *testcluster.Cluster, cred credential, session string) {
	local := filepath.Join(t.TempDir(), "object.pickle")
	pickle := run(t, nil, nil, python(t), "-c", makePickle, "of the test")
	if err := os.WriteFile(local, pickle, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, []string{"NO_PROXY=127.0.0.1"}, python(t), "-c", session, c.Nodes[0].URL(), c.Nodes[1].URL(), cred.token, local)
}

// testCcache compiles one C file twice, through two nodes, with nothing local
// in common: the second time the node has the object.
func testCcache(t *testing.T, c *testcluster.Cluster, cred credential) {
	dir := t.TempDir()
	source := filepath.Join(dir, "answer.c")
	if err := os.WriteFile(source, []byte("int answer(void) { return 42; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var objects [2][]byte
	var stats [2]string
	for i, n := range c.Nodes {
		out := filepath.Join(dir, "answer.o")
		env := []string{
			"CCACHE_DIR=" + t.TempDir(), "CCACHE_CONFIGPATH=" + os.DevNull, "NO_PROXY=127.0.0.1",
			"CCACHE_REMOTE_STORAGE=" + n.URL() + "/v1/objects/ccache|connect-timeout=10000|operation-timeout=20000|bearer-token=" + cred.token,
		}
		run(t, nil, env, "ccache", "gcc", "-c", source, "-o", out)
		stats[i] = string(run(t, nil, env, "ccache", "--print-stats"))
		var err error
		if objects[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(objects[0], objects[1]) {
		t.Error("the compiler's output and the cached one differ")
	}
	for i, want := range []string{"remote_storage_hit\t0", "remote_storage_hit\t1"} {
		if !strings.Contains(stats[i], want) || !strings.Contains(stats[i], "remote_storage_error\t0") {
			t.Errorf("build %d: want %q and no errors:\n%s", i+1, want, stats[i])
		}
	}
	if keys, _ := list(t, c.Nodes[0], "objects", "prefix=ccache/", cred.bearer()...); len(keys) == 0 {
		t.Error("ccache has put nothing")
	}
}
