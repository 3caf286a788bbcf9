//go:build s3suite

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// admin runs what LARDER_S3_ADMIN names; see test/scripts/s3-admin.
func admin(t *testing.T, stdin []byte, command string) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(string(run(t, stdin, nil, "bash", "-c", os.Getenv("LARDER_S3_ADMIN")+" "+command))), "\n")
}

// demanding is the environment of a node that may all, but may put nothing that does
// not ask for encryption of a kind.
func demanding(t *testing.T, kind string) []string {
	t.Helper()
	all := []string{"arn:aws:s3:::larder", "arn:aws:s3:::larder/*"}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []map[string]any{
		{"Effect": "Allow", "Action": "s3:*", "Resource": all},
		{
			"Effect": "Deny", "Action": "s3:PutObject", "Resource": all,
			"Condition": map[string]any{"StringNotEquals": map[string]any{"s3:x-amz-server-side-encryption": kind}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return admin(t, text, "policy session")
}

// TestEncryption wants a node to live where a policy demands encryption, if it has the
// flags for it, and to say which if it does not. The server keeps a key "larder-key".
func TestEncryption(t *testing.T) {
	for _, c := range []struct{ kind, key, wrong string }{
		{"AES256", "", "aws:kms"}, {"aws:kms", "", "AES256"}, {"aws:kms", "larder-key", "AES256"},
	} {
		t.Run(c.kind+" "+c.key, func(t *testing.T) {
			flags := []string{"--s3-sse", c.kind}
			if c.key != "" {
				flags = append(flags, "--s3-sse-kms-key", c.key)
			}
			env := demanding(t, c.kind)
			wantToldOfEncryption(t, env, c.kind, nil)
			wantToldOfEncryption(t, env, c.kind, []string{"--s3-sse", c.wrong})
			cluster := onServer(t, testcluster.Options{Env: env, Flags: flags})
			l := newLife(t, cluster)
			l.encrypted()
			l.all()
			wantAllEncrypted(t, c.kind, c.key)
		})
	}
	t.Run("a key that is not there", func(t *testing.T) {
		c := onServer(t, testcluster.Options{Env: demanding(t, "aws:kms"), Flags: []string{"--s3-sse", "aws:kms", "--s3-sse-kms-key", "no-such-key"}})
		wantInLog(t, c.Nodes[0], "the key for encryption cannot be used: see --s3-sse and --s3-sse-kms-key")
	})
}

// wantToldOfEncryption wants nodes that do not ask for the encryption that is demanded to
// say so as they start, and to their callers, and "node check" to say so too.
func wantToldOfEncryption(t *testing.T, env []string, kind string, flags []string) {
	t.Helper()
	c := onServer(t, testcluster.Options{Env: env, Flags: flags})
	wantInLog(t, c.Nodes[0], "a policy of the bucket demands encryption: give --s3-sse "+kind)
	for _, body := range [][]byte{[]byte("small"), noise(1, 11<<20)} {
		for _, n := range c.Nodes { // of which one forwards the write
			a := do(t, "PUT", object(n, "refused"), body).wantProblem(t, 502, "store-unexpected")
			if !bytes.Contains(a.body, []byte("--s3-sse")) {
				t.Errorf("the answer is %s", a.body)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), testcluster.Build(t), append([]string{
		"check", c.Nodes[0].URL(), "--s3-bucket", "larder", "--s3-endpoint", os.Getenv("LARDER_S3_ENDPOINT"), "--s3-path-style",
	}, flags...)...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("--s3-sse")) {
		t.Errorf("node check: %v %s", err, out)
	}
}

func wantInLog(t *testing.T, n *testcluster.Node, words string) {
	t.Helper()
	testcluster.Eventually(t, 20*time.Second, "the log tells", func() error {
		if !strings.Contains(n.Log(), words) {
			return fmt.Errorf("there is no %q", words)
		}
		return nil
	})
}

// wantAllEncrypted asks the server how each object in the bucket is encrypted.
func wantAllEncrypted(t *testing.T, kind, key string) {
	t.Helper()
	want := " " + kind
	if key != "" {
		want += " arn:aws:kms:" + key
	}
	found := admin(t, nil, "encryption")
	t.Logf("in the bucket: %q", found)
	for _, line := range found {
		if strings.Contains(line, " none") || line == "" {
			t.Errorf("objects are encrypted by none: %q", found)
		}
	}
	if !strings.Contains(strings.Join(found, "\n"), want) {
		t.Errorf("no object is encrypted by%s: %q", want, found)
	}
}

// encrypted writes where ETags are no MD5: equal bytes again, and each chunk of a large
// object read from the store, with the digests that were stated.
func (l life) encrypted() {
	a, b := []byte("one content"), []byte("another one")
	target := l.object(0, "again")
	for i, body := range [][]byte{a, b, a, a} {
		version := do(l.t, "PUT", target, body).want(l.t, []int{201, 200}[min(i, 1)]).header.Get("Etag")
		for _, n := range l.Nodes {
			got := do(l.t, "GET", object(n, l.folder+"again"), nil, "Cache-Control", "no-cache").wantBody(l.t, body)
			if got.header.Get("Etag") != version || got.header.Get("Repr-Digest") != digestOf(body) {
				l.t.Errorf("write %d: version %s, read as %q", i, version, got.header)
			}
		}
	}
	large := noise(5, 17<<20)
	target = l.object(1, "chunks")
	do(l.t, "PUT", target, large, "Repr-Digest", digestOf(large)).want(l.t, 201)
	for first := 0; first < len(large); first += 5 << 20 {
		last := min(first+5<<20, len(large)) - 1
		part := do(l.t, "GET", l.object(0, "chunks"), nil, "Cache-Control", "no-cache", "Range", fmt.Sprintf("bytes=%d-%d", first, last)).want(l.t, 206)
		if !bytes.Equal(part.body, large[first:last+1]) || part.header.Get("Repr-Digest") != digestOf(large) {
			l.t.Errorf("bytes %d to %d are others, or without their digest", first, last)
		}
	}
	found, _ := list(l.t, l.Nodes[1], "objects", "prefix="+l.folder+"chunks")
	if len(found) != 1 || found[0].Size != int64(len(large)) {
		l.t.Errorf("listed %+v", found)
	}
}
