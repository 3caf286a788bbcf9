package httpapi

import (
	"net"
	"net/http"
	"testing"

	"github.com/rs/zerolog"
)

func TestX(t *testing.T) {
	a := readingFrom(t, oneObject{body: make([]byte, 1024)}, zerolog.Nop())
	a.cfg.Front = true
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	h := &http.Server{}
	go h.Serve(a.Attach(h, l))
	c, _ := net.Dial("tcp", l.Addr().String())
	buf := make([]byte, 4000)
	for range 3 {
		c.Write([]byte("GET /v1/objects/k%20x HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		n, _ := c.Read(buf)
		t.Logf("%s", buf[:n-1024])
	}
}
