package e2e

import (
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"larder/test/testcluster"
)

// A stranger gets not one byte from the peer port, and a node that does not
// hold the secret, or belongs to another cluster, is no member.
func TestPeerPort(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 2, Secret: true})
	do(t, "PUT", object(c.Nodes[0], "k"), []byte("v")).want(t, 201)

	t.Run("strangers", func(t *testing.T) {
		random := make([]byte, 4096)
		_, _ = rand.Read(random) // it cannot fail
		for name, request := range map[string][]byte{
			"http":        []byte("GET /fill/head?place=v1%2Fdefault%2Fobjects%2Fk&bytes=true&chunk=8388608 HTTP/1.1\r\nHost: x\r\n\r\n"),
			"revoke":      []byte("POST /writepath/revoke HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nk"),
			"h2":          []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
			"tls":         append([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01}, random[:511]...),
			"magic":       append([]byte("larder\x00\x02"), random[:64]...),
			"hello":       append([]byte("larder\x00\x03"), random[:600]...),
			"short magic": []byte("larder\x00\x02"),
			"garbage":     random,
			"nothing":     nil,
		} {
			for _, n := range c.Nodes {
				for _, hangUp := range []bool{false, true} {
					if said := said(t, n.PeerAddr, request, hangUp); len(said) > 0 {
						t.Errorf("%s: the peer port of %s says %q", name, n.Name, said)
					}
				}
			}
		}
	})

	secret := secretFile(t, rand.Text())
	for name, tt := range map[string]struct{ flag, value, refusal string }{
		"another-secret": {"--cluster-secret-file", secret, "refused gossip under another secret"},
		"another-label":  {"--cluster-label", "elsewhere", "refused gossip of another cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, c, c.Stranger(name, tt.flag, tt.value), tt.refusal)
		})
	}
	do(t, "GET", object(c.Nodes[1], "k"), nil).wantBody(t, []byte("v"))
}

// said is what the server at addr says to a request, until it closes the connection.
func said(t *testing.T, addr string, request []byte, hangUp bool) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(request) // it may be closed by now
	if hangUp {
		_ = conn.(*net.TCPConn).CloseWrite() // as above
	}
	got, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is open after %s", answerLimit)
	}
	return got
}
