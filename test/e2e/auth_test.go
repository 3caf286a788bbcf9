package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// credential is a token and its entry in a tokens file.
type credential struct {
	token string
	entry map[string]any
	// appended is what 'node token 2>>FILE' appends to a tokens file.
	appended []byte
}

func (c credential) bearer() []string { return []string{"Authorization", "Bearer " + c.token} }

func (c credential) basic() []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("anyone:"+c.token))}
}

// mint runs 'node token'.
func mint(t *testing.T, org, user, role string) credential {
	t.Helper()
	var out, advice bytes.Buffer
	cmd := exec.Command(testcluster.Build(t), "token", "--org", org, "--user", user, "--role", role)
	cmd.Stdout, cmd.Stderr = &out, &advice
	if err := cmd.Run(); err != nil {
		t.Fatalf("node token: %v: %s", err, advice.Bytes())
	}
	_, line, found := strings.Cut(advice.String(), "\n- {")
	var entry map[string]any
	if !found || json.Unmarshal([]byte("{"+line), &entry) != nil {
		t.Fatalf("node token gives no entry: %s", advice.Bytes())
	}
	return credential{token: strings.TrimSpace(out.String()), entry: entry, appended: advice.Bytes()}
}

// writeTokens makes a tokens file, or replaces it at once.
func writeTokens(t *testing.T, path string, all ...credential) {
	t.Helper()
	var entries []map[string]any
	for _, c := range all {
		entries = append(entries, c.entry)
	}
	b, err := json.MarshalIndent(entries, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	writer, reader, other := mint(t, "alpha", "ada", "writer"), mint(t, "alpha", "rob", "reader"), mint(t, "beta", "bea", "admin")
	late, expired := mint(t, "alpha", "late", "writer"), mint(t, "alpha", "old", "admin")
	expired.entry["expires"] = "2020-01-01T00:00:00Z"
	file := filepath.Join(t.TempDir(), "tokens.json")
	writeTokens(t, file, writer, reader, other, expired)
	c := testcluster.New(t, testcluster.Options{Nodes: 2, Flags: []string{"--tokens-file", file}})
	n := c.Nodes[0]

	t.Run("no access", func(t *testing.T) {
		for _, tt := range []struct{ name, value, problem string }{
			{"no header", "", "no-credential"},
			{"unknown", "Bearer lrd_unknown", "bad-credential"},
			{"cut short", "Bearer " + writer.token[:len(writer.token)-1], "bad-credential"},
			{"other scheme", "Digest " + writer.token, "bad-credential"},
			{"empty", "Bearer ", "bad-credential"},
			{"digest as token", "Bearer " + fmt.Sprint(writer.entry["sha256"]), "bad-credential"},
			{"not base64", "Basic " + writer.token, "bad-credential"},
			{"expired", "Bearer " + expired.token, "expired-credential"},
		} {
			var headers []string
			if tt.value != "" {
				headers = []string{"Authorization", tt.value}
			}
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				for _, path := range []string{"/v1/objects/k", "/v1/objects", "/v1/whoami", "/", "/v1/objects/%00"} {
					a := do(t, method, n.URL()+path, nil, headers...).wantProblem(t, 401, tt.problem)
					if got := strings.Join(a.header.Values("WWW-Authenticate"), " "); !strings.Contains(got, "Bearer") || !strings.Contains(got, "Basic") {
						t.Errorf("%s: WWW-Authenticate %q", tt.name, got)
					}
				}
			}
		}
	})
	t.Run("roles", func(t *testing.T) {
		do(t, "PUT", object(n, "k"), []byte("alpha's"), writer.bearer()...).want(t, 201)
		do(t, "PUT", object(n, "k"), []byte("alpha's"), writer.basic()...).want(t, 200)
		do(t, "GET", object(n, "k"), nil, reader.basic()...).wantBody(t, []byte("alpha's"))
		do(t, "PUT", object(n, "k"), []byte("x"), reader.bearer()...).wantProblem(t, 403, "read-only")
		do(t, "DELETE", object(n, "k"), nil, reader.bearer()...).wantProblem(t, 403, "read-only")
		a := do(t, "GET", n.URL()+"/v1/whoami", nil, reader.bearer()...).want(t, 200)
		var who struct{ Org, User, Role string }
		if err := json.Unmarshal(a.body, &who); err != nil || who.Org != "alpha" || who.User != "rob" || who.Role != "reader" {
			t.Errorf("whoami: %s", a.body)
		}
		if w := do(t, "GET", object(c.Nodes[1], "k"), nil, reader.bearer()...).header.Get("Larder-Writer"); w != "ada" {
			t.Errorf("written by ada, and it says %q", w)
		}
	})
	t.Run("orgs", func(t *testing.T) { testOrgs(t, c, writer, other) })
	t.Run("reload", func(t *testing.T) {
		do(t, "GET", object(n, "k"), nil, late.bearer()...).wantProblem(t, 401, "bad-credential")
		writeTokens(t, file, writer, late)
		for _, node := range c.Nodes {
			testcluster.Eventually(t, 20*time.Second, "the tokens file is read again", func() error {
				a := do(t, "GET", object(node, "k"), nil, late.bearer()...)
				b := do(t, "GET", object(node, "k"), nil, reader.bearer()...)
				if a.status != 200 || b.status != 401 {
					return fmt.Errorf("the token added gets %d, the one removed %d", a.status, b.status)
				}
				return nil
			})
		}
	})
	for _, node := range c.Nodes {
		for _, cred := range []credential{writer, reader, other, late, expired} {
			if strings.Contains(node.Log(), cred.token) {
				t.Errorf("the log of %s holds a token", node.Name)
			}
		}
	}
}

// testOrgs looks for any way from one org to bytes or key names of the other.
func testOrgs(t *testing.T, c *testcluster.Cluster, alpha, beta credential) {
	for _, node := range c.Nodes {
		// Warm: what one org has in memory is not the other's.
		do(t, "PUT", object(node, "shared"), []byte("of alpha"), alpha.bearer()...)
		do(t, "PUT", object(node, "shared"), []byte("of beta"), beta.bearer()...)
		do(t, "PUT", object(node, "only alpha's"), []byte("secret"), alpha.bearer()...)
		do(t, "PUT", object(node, "only alpha's 2"), []byte("secret"), alpha.bearer()...)
	}
	for _, node := range c.Nodes {
		ours := do(t, "GET", object(node, "shared"), nil, alpha.bearer()...).wantBody(t, []byte("of alpha"))
		do(t, "GET", object(node, "shared"), nil, beta.bearer()...).wantBody(t, []byte("of beta"))
		etag := ours.header.Get("ETag")
		do(t, "GET", object(node, "shared"), nil, append(beta.bearer(), "If-None-Match", etag)...).wantBody(t, []byte("of beta"))
		do(t, "GET", object(node, "shared"), nil, append(beta.bearer(), "If-Match", etag)...).wantProblem(t, 412, "precondition-failed")
		do(t, "DELETE", object(node, "shared"), nil, append(beta.bearer(), "If-Match", etag)...).wantProblem(t, 412, "precondition-failed")
		for _, method := range []string{"GET", "HEAD", "DELETE"} {
			do(t, method, object(node, "only alpha's"), nil, beta.bearer()...).want(t, 404)
		}
		for _, key := range []string{"../../alpha/objects/shared", "../alpha/objects/shared", "alpha/objects/shared"} {
			do(t, "GET", object(node, key), nil, beta.bearer()...).wantProblem(t, 404, "not-found")
			do(t, "GET", node.URL()+"/v1/objects/"+key, nil, beta.bearer()...).wantProblem(t, 404, "not-found")
		}
		keys, _ := list(t, node, "objects", "", beta.bearer()...)
		if len(keys) != 1 || keys[0].Key != "shared" || keys[0].ETag == etag {
			t.Errorf("beta lists %+v", keys)
		}
		_, cursor := list(t, node, "objects", "limit=1", alpha.bearer()...)
		if cursor == "" {
			t.Fatal("alpha's list has no second page")
		}
		do(t, "GET", node.URL()+"/v1/objects?cursor="+url.QueryEscape(cursor), nil, beta.bearer()...).wantProblem(t, 400, "bad-query")
		forged := base64.RawURLEncoding.EncodeToString([]byte("v1/alpha/objects/"))
		do(t, "GET", node.URL()+"/v1/objects?cursor="+forged, nil, beta.bearer()...).wantProblem(t, 400, "bad-query")
		for _, prefix := range []string{"../", "../../alpha/", "/"} {
			if keys, _ := list(t, node, "objects", "prefix="+url.QueryEscape(prefix), beta.bearer()...); len(keys) != 0 {
				t.Errorf("beta lists %+v by the prefix %q", keys, prefix)
			}
		}
	}
	do(t, "DELETE", object(c.Nodes[0], "shared"), nil, beta.bearer()...).want(t, 204)
	for _, node := range c.Nodes {
		do(t, "GET", object(node, "shared"), nil, alpha.bearer()...).wantBody(t, []byte("of alpha"))
	}
}

// A node that cannot run as it was told says which flag to change, and ends.
func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	alone := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true})
	taken := alone.Nodes[0]
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	short, notTokens, plain := file("short", "short"), file("tokens", "org: x"), file("plain", "")
	dup := file("expires", `[{"id":"a","org":"o","user":"u","role":"king","sha256":"00"}]`)
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"off loopback without tokens", []string{"--http-addr", "0.0.0.0:0"}, []string{"--http-addr", "--tokens-file", "--insecure-no-auth"}},
		{"gossip off loopback without a secret", []string{"--gossip-addr", "0.0.0.0:0"}, []string{"--gossip-addr", "--cluster-secret-file"}},
		{"peers off loopback without a secret", []string{"--peer-addr", ":0"}, []string{"--peer-addr", "--cluster-secret-file"}},
		{"join without a bucket", []string{"--join", "127.0.0.1:1"}, []string{"--join", "--s3-bucket"}},
		{"endpoint without a bucket", []string{"--s3-endpoint", "http://127.0.0.1:1"}, []string{"--s3-endpoint", "--s3-bucket"}},
		{"region without a bucket", []string{"--s3-region", "eu-west-1"}, []string{"--s3-region", "--s3-bucket"}},
		{"no objects", []string{"--max-object-size", "0"}, []string{"--max-object-size", "at least 1"}},
		{"lease longer than revalidate", []string{"--lease", "2m"}, []string{"--lease", "--revalidate"}},
		{"no lease", []string{"--lease", "0s"}, []string{"--lease"}},
		{"small chunks", []string{"--chunk-size", "1KiB"}, []string{"--chunk-size", "64KiB"}},
		{"little memory", []string{"--memory", "1MiB"}, []string{"--memory", "--chunk-size"}},
		{"a time without a unit", []string{"--lease", "5"}, []string{"--lease", "write it like", "5s"}},
		{"no size", []string{"--memory", "much"}, []string{"--memory", "4GiB"}},
		{"unknown flag", []string{"--memroy", "1GiB"}, []string{"--memroy", "--memory", "'node -h'"}},
		{"unknown level", []string{"--log-level", "loud"}, []string{"--log-level", "debug"}},
		{"no secret file", []string{"--cluster-secret-file", dir + "/absent"}, []string{"--cluster-secret-file"}},
		{"short secret", []string{"--cluster-secret-file", short}, []string{"--cluster-secret-file", "16"}},
		{"no tokens file", []string{"--tokens-file", dir + "/absent"}, []string{"--tokens-file"}},
		{"no list of tokens", []string{"--tokens-file", notTokens}, []string{"--tokens-file"}},
		{"a bad entry", []string{"--tokens-file", dup}, []string{"--tokens-file", "role"}},
		{"data dir is a file", []string{"--data-dir", plain}, []string{"--data-dir"}},
		{"data dir in use", []string{"--data-dir", filepath.Join(alone.Dir, "data-node-1")}, []string{"--data-dir"}},
		{"HTTP port in use", []string{"--http-addr", taken.HTTPAddr}, []string{"--http-addr", taken.HTTPAddr}},
		{"admin port in use", []string{"--admin-addr", taken.AdminAddr}, []string{"--admin-addr", taken.AdminAddr}},
		{"gossip port in use", []string{"--gossip-addr", taken.GossipAddr}, []string{"--gossip-addr", taken.GossipAddr}},
		{"peer port in use", []string{"--peer-addr", taken.PeerAddr}, []string{"--peer-addr", taken.PeerAddr}},
		{"no address", []string{"--http-addr", "here"}, []string{"--http-addr"}},
		{"no gossip address", []string{"--gossip-addr", "here"}, []string{"--gossip-addr"}},
		{"no peer address", []string{"--peer-addr", "127.0.0.1:99999"}, []string{"--peer-addr"}},
		{"bad join", []string{"--join", "here", "--s3-bucket", "b", "--s3-region", "r"}, []string{"--join"}},
		{"bucket without a region", []string{"--s3-bucket", "b"}, []string{"--s3-region", "AWS_REGION"}},
		{"a token for nobody", []string{"token", "--org", "acme"}, []string{"--user", "'node token -h'"}},
		{"a check of nobody", []string{"check", "127.0.0.1:1"}, []string{"put", "--http-addr"}},
		{"S3 without credentials of its own", []string{"s3", "--data-dir", dir}, []string{"AWS_ACCESS_KEY_ID"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.args
			if strings.HasPrefix(args[0], "-") { // no subcommand
				given := strings.Join(args, " ")
				for _, flag := range []string{"--http-addr", "--admin-addr", "--gossip-addr", "--peer-addr"} {
					if !strings.Contains(given, flag) {
						args = append(args, flag, "127.0.0.1:0")
					}
				}
				if !strings.Contains(given, "--data-dir") {
					args = append(args, "--data-dir", filepath.Join(t.TempDir(), "data"))
				}
			}
			said := refusal(t, args)
			for _, word := range tt.says {
				if !strings.Contains(said, word) {
					t.Errorf("it does not name %s: %s", word, said)
				}
			}
		})
	}
}

// refusal runs a node that must end at once with status 1, and returns what it said.
func refusal(t *testing.T, args []string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testcluster.Build(t), args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "LARDER_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "AWS_EC2_METADATA_DISABLED=true")
	watchdog := time.AfterFunc(answerLimit, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("node %s: %v, want status 1: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
