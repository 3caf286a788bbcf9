package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// mounted is a folder with tls.crt and tls.key as Kubernetes mounts a Secret: links to
// files behind a link that is swapped.
type mounted struct {
	*testing.T
	dir   string
	times int
}

func (m *mounted) cert() string { return filepath.Join(m.dir, "tls.crt") }
func (m *mounted) key() string  { return filepath.Join(m.dir, "tls.key") }

// swap replaces both files at once.
func (m *mounted) swap(certFile, keyFile string) {
	m.Helper()
	m.times++
	data := filepath.Join(m.dir, fmt.Sprintf("..%d", m.times))
	must(m, os.MkdirAll(data, 0o700))
	for name, from := range map[string]string{"tls.crt": certFile, "tls.key": keyFile} {
		b, err := os.ReadFile(from)
		must(m, err)
		must(m, os.WriteFile(filepath.Join(data, name), b, 0o600))
		if m.times == 1 {
			must(m, os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)))
		}
	}
	must(m, os.Symlink(filepath.Base(data), filepath.Join(m.dir, "new")))
	must(m, os.Rename(filepath.Join(m.dir, "new"), filepath.Join(m.dir, "..data")))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// secured is a client of nodes under an authority, with a certificate of its own unless
// that is empty.
func secured(t *testing.T, a *testcluster.Authority, certFile, keyFile string) *http.Client {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(a.Cert)
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		must(t, err)
		// Certificates would keep one of another authority back.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}, Timeout: answerLimit}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// ask sends a request without a header and returns the status and the answer.
func ask(t *testing.T, c *http.Client, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	resp, err := c.Do(req)
	must(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(got)
}

// serial is that of the certificate that a node serves now.
func serial(t *testing.T, addr string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func named(user, org string, units ...string) x509.Certificate {
	s := pkix.Name{CommonName: user, OrganizationalUnit: units}
	if org != "" {
		s.Organization = []string{org}
	}
	return x509.Certificate{Subject: s}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a, other := testcluster.NewAuthority(t, "ours"), testcluster.NewAuthority(t, "another")
	files := &mounted{T: t, dir: t.TempDir()}
	files.swap(a.Issue("first", named("first", ""), x509.ExtKeyUsageServerAuth))
	authorities := filepath.Join(t.TempDir(), "ca.pem")
	replace := func(from string) {
		b, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(authorities+".new", b, 0o600))
		must(t, os.Rename(authorities+".new", authorities))
	}
	replace(a.File)
	tom := mint(t, "acme", "tom", "writer")
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	writeTokens(t, tokens, tom)
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true, Flags: []string{
		"--tls-cert-file", files.cert(), "--tls-key-file", files.key(), "--tls-client-ca-file", authorities, "--tokens-file", tokens,
	}}).Nodes[0]
	url := "https://" + n.HTTPAddr

	t.Run("versions", func(t *testing.T) { testVersions(t, n.HTTPAddr) })
	t.Run("plain", func(t *testing.T) {
		do(t, "GET", "http://"+n.HTTPAddr+"/v1/whoami", nil).wantProblem(t, 400, "tls-required")
		do(t, "PUT", "http://"+n.HTTPAddr+"/v1/objects/k", make([]byte, 200<<10)).wantProblem(t, 400, "tls-required")
	})
	t.Run("check", func(t *testing.T) {
		run(t, nil, []string{"LARDER_TOKEN=" + tom.token, "LARDER_CA_FILE=" + a.File}, testcluster.Build(t), "check", url)
	})
	t.Run("certificates", func(t *testing.T) { testCertificates(t, url, a, other, tom.token) })
	t.Run("renewal", func(t *testing.T) { testRenewal(t, n, files, a) })
	t.Run("authority removed", func(t *testing.T) {
		certFile, keyFile := a.Issue("kept", named("ada", "acme", "larder:writer"), x509.ExtKeyUsageClientAuth)
		c := secured(t, a, certFile, keyFile) // keeps one connection
		if status, got := ask(t, c, "GET", url+"/v1/whoami", ""); status != 200 {
			t.Fatal(status, got)
		}
		replace(other.File)
		testcluster.Eventually(t, 20*time.Second, "the authority is gone", func() error {
			if status, got := ask(t, c, "GET", url+"/v1/whoami", ""); status != 401 {
				return fmt.Errorf("%d %s", status, got)
			}
			return nil
		})
	})
}

// testVersions: TLS 1.2 and 1.3, HTTP/1.1, and nothing older.
func testVersions(t *testing.T, addr string) {
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
		if (err == nil) != good {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err != nil {
			continue
		}
		if p := conn.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			t.Errorf("%s: the protocol is %q", tls.VersionName(version), p)
		}
		_ = conn.Close()
	}
	// What net/http refuses by itself has our form within TLS, too.
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "NONSENSE\r\n\r\n")
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != 400 || resp.Header.Get("Larder-Request") == "" {
		t.Errorf("nonsense gets %d %v", resp.StatusCode, resp.Header)
	}
	// Silence is cut, and a peer that speaks something else too.
	raw, err := net.Dial("tcp", addr)
	must(t, err)
	defer raw.Close()
	_, err = io.WriteString(raw, "\x00\x01\x02\x03\x04\x05\x06\x07")
	must(t, err)
	if _, err := io.ReadAll(raw); err != nil {
		t.Logf("closed with %v", err)
	}
}

func testCertificates(t *testing.T, url string, a, other *testcluster.Authority, token string) {
	for _, c := range []struct {
		name      string
		authority *testcluster.Authority
		about     x509.Certificate
		use       x509.ExtKeyUsage
		who, why  string
	}{
		{"writer", a, named("ada", "acme", "Research", "larder:writer"), x509.ExtKeyUsageClientAuth, "acme ada writer", ""},
		{"reader", a, named("rob", "acme", "writer"), x509.ExtKeyUsageClientAuth, "acme rob reader", ""},
		{"no org", a, named("ada", ""), x509.ExtKeyUsageClientAuth, "", "does not name one organisation"},
		{"an org that is none", a, named("ada", "ACME Inc."), x509.ExtKeyUsageClientAuth, "", "does not name one organisation"},
		{"no user", a, named("", "acme"), x509.ExtKeyUsageClientAuth, "", "common name"},
		{"no role", a, named("ada", "acme", "larder:root"), x509.ExtKeyUsageClientAuth, "", "names no role"},
		{"a server", a, named("ada", "acme"), x509.ExtKeyUsageServerAuth, "", "incompatible key usage"},
		{"another authority", other, named("ada", "acme"), x509.ExtKeyUsageClientAuth, "", "unknown authority"},
		{"expired", a, x509.Certificate{
			Subject: named("ada", "acme").Subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(-time.Minute),
		}, x509.ExtKeyUsageClientAuth, "", "expired"},
	} {
		certFile, keyFile := c.authority.Issue("client", c.about, c.use)
		client := secured(t, a, certFile, keyFile)
		status, got := ask(t, client, "GET", url+"/v1/whoami", "")
		var who struct{ Org, User, Role string }
		_ = json.Unmarshal([]byte(got), &who)
		switch said := who.Org + " " + who.User + " " + who.Role; {
		case c.who != "" && (status != 200 || said != c.who):
			t.Errorf("%s: %d %s", c.name, status, got)
		case c.who == "" && (status != 401 || !strings.Contains(got, c.why)):
			t.Errorf("%s: %d %s", c.name, status, got)
		}
		// A token decides alone, a bad one too.
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/whoami", nil)
		must(t, err)
		for value, want := range map[string]int{token: 200, "bad": 401} {
			req.Header.Set("Authorization", "Bearer "+value)
			resp, err := client.Do(req)
			must(t, err)
			got, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != want || want == 200 && !strings.Contains(string(got), `"tom"`) {
				t.Errorf("%s with a token: %d %s", c.name, resp.StatusCode, got)
			}
		}
	}
	certFile, keyFile := a.Issue("writer", named("ada", "acme", "larder:writer"), x509.ExtKeyUsageClientAuth)
	if status, got := ask(t, secured(t, a, certFile, keyFile), "PUT", url+"/v1/objects/k", "x"); status != 201 {
		t.Errorf("a writer's PUT gets %d %s", status, got)
	}
	certFile, keyFile = a.Issue("reader", named("rob", "acme"), x509.ExtKeyUsageClientAuth)
	if status, got := ask(t, secured(t, a, certFile, keyFile), "PUT", url+"/v1/objects/k", "x"); status != 403 {
		t.Errorf("a reader's PUT gets %d %s", status, got)
	}
}

// testRenewal: a new pair is served without a restart, a bad one is not.
func testRenewal(t *testing.T, n *testcluster.Node, files *mounted, a *testcluster.Authority) {
	served := func(want string) {
		t.Helper()
		testcluster.Eventually(t, 20*time.Second, want+" is served", func() error {
			if got := serial(t, n.HTTPAddr); got != want {
				return fmt.Errorf("%s is served", got)
			}
			return nil
		})
	}
	served("first")
	second, secondKey := a.Issue("second", named("second", ""), x509.ExtKeyUsageServerAuth)
	files.swap(second, secondKey)
	served("second")
	third, thirdKey := a.Issue("third", named("third", ""), x509.ExtKeyUsageServerAuth)
	files.swap(third, secondKey)
	testcluster.Eventually(t, 20*time.Second, "the log says that the pair is bad", func() error {
		if !strings.Contains(n.Log(), "certificate file is wrong") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	served("second")
	if strings.Contains(n.Log(), "PRIVATE KEY") {
		t.Error("the log holds a key")
	}
	files.swap(third, thirdKey)
	served("third")
}
