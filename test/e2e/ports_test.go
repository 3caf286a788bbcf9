package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"larder/test/testcluster"
)

// kept is a connection that a client keeps.
type kept struct {
	net.Conn
	read *bufio.Reader
}

func keep(t *testing.T, n *testcluster.Node) *kept {
	t.Helper()
	c, err := net.Dial("tcp", n.HTTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &kept{Conn: c, read: bufio.NewReader(c)}
}

// ask sends a request as it is written, and reads the answer.
func (k *kept) ask(request string) (*http.Response, []byte, error) {
	if _, err := io.WriteString(k, request); err != nil {
		return nil, nil, err
	}
	answer, err := http.ReadResponse(k.read, nil)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// TestKeptConnections stops a node under clients that keep their connections: none
// is closed as it is used.
func TestKeptConnections(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 2})
	n := c.Nodes[1]
	do(t, "PUT", object(c.Nodes[0], "k"), []byte("body")).want(t, 201)
	request := "GET /v1/objects/k HTTP/1.1\r\nHost: " + n.HTTPAddr + "\r\n\r\n"
	var clients sync.WaitGroup
	for range 8 {
		k := keep(t, n)
		if answer, _, err := k.ask(request); err != nil || answer.Close {
			t.Fatalf("before it is stopped: %v", err)
		}
		clients.Go(func() {
			for last := false; !last; {
				answer, body, err := k.ask(request)
				if err != nil || answer.StatusCode != 200 || string(body) != "body" {
					t.Errorf("a kept connection ended with %v", err)
					return
				}
				last = answer.Close
			}
			if _, err := k.read.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after its last answer the connection ended with %v", err)
			}
		})
	}
	if err := syscall.Kill(n.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	testcluster.Eventually(t, 20*time.Second, "the node has ended", func() error {
		if n.Running() {
			return errors.New("it runs")
		}
		return nil
	})
}

// TestRevokedWhileWriting takes a token away while a body that it sends is under
// way, small or in parts: nothing is written.
func TestRevokedWhileWriting(t *testing.T) {
	t.Parallel()
	stays, goes := mint(t, "alpha", "ada", "writer"), mint(t, "alpha", "rob", "writer")
	file := filepath.Join(t.TempDir(), "tokens.json")
	writeTokens(t, file, stays, goes)
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Flags: []string{"--tokens-file", file, "--chunk-size=64KiB"}}).Nodes[0]
	bodies := map[string][]byte{"small": noise(1, 1000), "parts": noise(2, 1_000_000)}
	writes := map[string]*kept{}
	for key, body := range bodies {
		k := keep(t, n)
		header := fmt.Sprintf("PUT /v1/objects/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", key, goes.token, len(body))
		if _, err := k.Write(append([]byte(header), body[:len(body)/2]...)); err != nil {
			t.Fatal(err)
		}
		writes[key] = k
	}
	writeTokens(t, file, stays)
	testcluster.Eventually(t, 20*time.Second, "the token is gone", func() error {
		if a := do(t, "GET", n.URL()+"/v1/whoami", nil, goes.bearer()...); a.status != 401 {
			return fmt.Errorf("it gets %d", a.status)
		}
		return nil
	})
	for key, k := range writes {
		answer, problem, err := k.ask(string(bodies[key][len(bodies[key])/2:]))
		if err != nil || answer.StatusCode != 401 || !bytes.Contains(problem, []byte("bad-credential")) {
			t.Errorf("%s: %v %s", key, err, problem)
		}
		do(t, "GET", object(n, key), nil, stays.bearer()...).wantProblem(t, 404, "not-found")
	}
	if log := n.Log(); strings.Contains(log, goes.token) {
		t.Error("the log holds a token")
	}
}
