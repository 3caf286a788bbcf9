#!/usr/bin/env bash
# fsspec 2026.9.0: filecache over HTTP with check_files=True never asks the server again.
#
# check_files compares the file system's ukey() before a cached file is used. For HTTP that is a hash
# of the URL and the options: "assume HTTP files are static", and no request is made, even if the
# server sends an ETag, which info() shows. The old bytes stay until expiry_time, a week.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check fsspec==2026.9.0 aiohttp==3.14.5
cd "$dir"
timeout 300 "$dir/venv/bin/python" - <<'EOF'
import hashlib, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import fsspec

body, requests = [b"old"], []

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        requests.append(self.command)
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(body[0]).hexdigest()[:8]}"')
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Length", str(len(body[0])))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[0])
    do_GET = do_HEAD = answer
    def log_message(self, *args): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.handle_error = lambda *args: None  # a client that goes away early
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/key"
read = """if True:
    import fsspec, sys
    fs = fsspec.filesystem("filecache", target_protocol="http", cache_storage="cache", check_files=True)
    print(fs.open(sys.argv[1], "rb").read().decode())"""

def process():
    """Reads the key in a new process, and returns the bytes and the requests that it made."""
    requests.clear()
    done = subprocess.run([sys.executable, "-c", read, url], capture_output=True, text=True, timeout=120)
    return done.stdout.strip() or done.stderr, list(requests)

print("fsspec", fsspec.__version__)
http = fsspec.filesystem("http")
first, tag = process(), http.info(url)["ETag"]
body[0] = b"new"
again = process()
print("filecache, check_files=True:", *first, " ETag", tag)
print("the key is replaced, a new process:", *again, " ETag", http.info(url)["ETag"])
print("without a cache:", http.cat(url))
if first[0] != "old" or again != ("old", []) or http.cat(url) != b"new":
    sys.exit("changed: check_files looks at the server")
EOF
