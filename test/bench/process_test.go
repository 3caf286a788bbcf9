package bench

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"larder/test/bench/blob"
	"larder/test/testcluster"
)

// server starts a process that listens at addr, and waits until it does.
func server(b *testing.B, name, addr string, command ...string) *testcluster.Process {
	b.Helper()
	p := testcluster.NewProcess(b, name, b.TempDir(), os.Environ(), func() []string { return command })
	p.Launch()
	testcluster.Eventually(b, 20*time.Second, name+" listens", func() error {
		b.Helper()
		if !p.Running() {
			b.Fatalf("%s has ended: %s", name, p.Log())
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return p
}

// rival starts one of the rivals, and returns where it listens.
func (s *bench) rival(b *testing.B, kind string, args ...string) string {
	b.Helper()
	addr := testcluster.FreeAddr(b)
	server(b, kind, addr, append([]string{s.program("rival"), kind, "-addr", addr}, args...)...)
	return addr
}

// nginx starts a caching proxy before the origin, and returns where it listens, and its
// first process.
// With tcp_nopush on it would hold back the end of 64 KiB for 40 ms.
func nginx(b *testing.B, origin string) (string, *testcluster.Process) {
	b.Helper()
	return nginxIn(b, b.TempDir(), origin)
}

// nginxIn is nginx that keeps its files in a folder.
func nginxIn(b *testing.B, dir, origin string) (string, *testcluster.Process) {
	b.Helper()
	addr := testcluster.FreeAddr(b)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // the folders are root's
	}
	conf := fmt.Sprintf(`%s
worker_processes auto;
daemon off;
pid %[2]s/pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush off;
  tcp_nodelay on;
  keepalive_timeout 120s;
  keepalive_requests 100000000;
  open_file_cache max=1000 inactive=60s;
  client_body_temp_path %[2]s/body;
  fastcgi_temp_path %[2]s/fastcgi;
  uwsgi_temp_path %[2]s/uwsgi;
  scgi_temp_path %[2]s/scgi;
  proxy_temp_path %[2]s/temp;
  proxy_cache_path %[2]s/cache keys_zone=bench:16m max_size=1g inactive=1h use_temp_path=off;
  upstream origin { server %[3]s; keepalive 16; }
  server {
    listen %[4]s;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache bench;
      proxy_cache_valid 200 1h;
    }
  }
}
`, user, dir, origin, addr)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		b.Fatal(err)
	}
	return addr, server(b, "nginx", addr, "nginx", "-c", path, "-p", dir, "-e", "stderr")
}

// varnish starts a cache before the origin, and returns where it listens.
func varnish(b *testing.B, origin string) string {
	b.Helper()
	addr := testcluster.FreeAddr(b)
	server(b, "varnish", addr, "varnishd", "-F", "-j", "none", "-n", b.TempDir(), "-a", addr, "-b", origin, "-s", "malloc,512m", "-t", "3600")
	return addr
}

// path is where all servers have object i of this size.
func path(size int64, i int) string { return "/v1/objects/" + name(size, i) }

func name(size int64, i int) string { return fmt.Sprintf("x-%d/%d", size, i) }

// body is what they have there.
func body(size int64) []byte { return blob.Of(size) }
