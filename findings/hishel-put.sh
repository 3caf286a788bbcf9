#!/usr/bin/env bash
# hishel 2.0.0 answers from its cache what the same client has just overwritten.
#
# Until 1.x hishel followed RFC 9111. Since 2.0.0 a CacheClient without rfc=True keeps every
# successful GET by method and URL without an end, in .cache/hishel below the working directory:
# no-store, ETags, a PUT through the same client, and the request's own Range, If-None-Match and
# Cache-Control: no-cache are all passed over.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check 'hishel[httpx]==2.0.0' httpx==0.28.1
cd "$dir"
timeout 300 "$dir/venv/bin/python" - <<'EOF'
import importlib.metadata, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from hishel.httpx import CacheClient

objects = {}

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        status, body = 200, objects.get(self.path)
        if self.command == "PUT":
            status, body = 201, b""
            objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        elif self.headers.get("Range") == "bytes=0-0":
            status, body = 206, body[:1]
        self.send_response(status)
        self.send_header("Cache-Control", "no-store")
        if status == 206:
            self.send_header("Content-Range", f"bytes 0-0/{len(objects[self.path])}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_PUT = answer
    def log_message(self, *args): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/key"

def session(**options):
    objects["/key"] = b"old"
    with CacheClient(**options) as client:
        client.get(url)
        client.put(url, content=b"new")
        read = client.get(url).content
        forced = client.get(url, headers={"Cache-Control": "no-cache"}).content
        part = client.get(url, headers={"Range": "bytes=0-0"})
    return read, forced, (part.status_code, part.content)

print("hishel", importlib.metadata.version("hishel"))
as_it_comes, by_rfc = session(), session(rfc=True)
print("GET after a PUT of b'new', with no-cache, with Range: bytes=0-0")
print("CacheClient():         ", *as_it_comes)
print("CacheClient(rfc=True): ", *by_rfc)
with CacheClient() as later:
    print("a later CacheClient() in this directory:", later.get(url).content)
if as_it_comes != (b"old", b"old", (200, b"old")) or by_rfc != (b"new", b"new", (206, b"n")):
    sys.exit("changed: hishel's answers after a PUT")
EOF
