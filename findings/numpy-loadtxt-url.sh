#!/usr/bin/env bash
# numpy 2.4.6: loadtxt and genfromtxt of a URL read a copy in the working directory, for ever.
#
# Both open URLs through numpy.lib.npyio.DataSource, which downloads the file once into a folder
# named after the host and port and asks the server never again, in this process and in all later
# ones that run in the same directory. Cache-Control, ETag and Last-Modified do not matter.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check numpy==2.4.6
cd "$dir"
timeout 300 "$dir/venv/bin/python" - <<'EOF'
import os, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy as np

body, requests = [b"1 2\n"], []

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        requests.append(self.command)
        self.send_response(200)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body[0])))
        self.end_headers()
        self.wfile.write(body[0])
    def log_message(self, *args): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/weights.txt"
print("numpy", np.__version__)
first = np.loadtxt(url)
print("loadtxt:", first, "after", len(requests), "requests")
body[0] = b"3 4\n"
requests.clear()
again, other = np.loadtxt(url), np.genfromtxt(url)
print("the object is now 3 4, and was answered with Cache-Control: no-store")
print("loadtxt:", again, " genfromtxt:", other, "after", len(requests), "more requests")
code = "import numpy, sys; print(numpy.loadtxt(sys.argv[1]))"
later = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60).stdout.strip()
print("another process in this directory:", later, "after", len(requests), "requests")
kept = [os.path.join(at, f) for at, _, files in os.walk(".") for f in files if f == "weights.txt"]
print("the copy:", kept)
if requests or list(again) != [1, 2] or list(other) != [1, 2] or later != "[1. 2.]" or len(kept) != 1:
    sys.exit("changed: numpy asks the server again")
with_urllib = np.loadtxt(__import__("urllib.request").request.urlopen(url))
print("loadtxt(urlopen(url)):", with_urllib)
EOF
