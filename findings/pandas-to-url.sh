#!/usr/bin/env bash
# pandas 3.1.1 writes a frame to an http URL by reading it: nothing is stored, and nothing is raised.
#
# to_csv, to_json, to_pickle, to_parquet and to_feather open an http(s) URL with the opener of the
# readers. Where the URL exists they GET it, write into a buffer in memory, drop the buffer and
# return None. Where it does not exist they raise the 404 of that GET.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check pandas==3.1.1 pyarrow==26.0.1
timeout 300 "$dir/venv/bin/python" - <<'EOF'
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import pandas as pd

objects, requests = {"/frame": b"what was there before"}, []

class Handler(BaseHTTPRequestHandler):
    def answer(self):
        requests.append(self.command)
        body = objects.get(self.path)
        if self.command in ("PUT", "POST"):
            body = objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")
    do_GET = do_PUT = do_POST = answer
    def log_message(self, *args): pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
frame = pd.DataFrame({"price": [1.5, 2.5]})
print("pandas", pd.__version__)
for method in ("to_csv", "to_json", "to_pickle", "to_parquet", "to_feather"):
    requests.clear()
    result = getattr(frame, method)(url + "/frame")
    print(f"{method}(existing URL) returned {result}, the server saw {requests}, holds {objects['/frame']}")
    if result is not None or requests != ["GET"] or objects["/frame"] != b"what was there before":
        sys.exit(f"changed: {method} of an existing URL")
try:
    frame.to_csv(url + "/absent")
    sys.exit("changed: to_csv of an absent URL raises nothing")
except OSError as error:
    print("to_csv(absent URL) raised", repr(error))
print("So a frame is written over HTTP only into bytes, which another client then PUTs.")
EOF
