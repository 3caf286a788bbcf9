#!/usr/bin/env bash
# polars 2.1.0: a LazyFrame of an http URL filters the new object by the old object's statistics.
#
# scan_parquet(url) reads the footer at its first use and keeps it for the life of the LazyFrame.
# Later collects read byte ranges of whatever is at the URL now, without If-Match or If-Range, and
# skip row groups by the minimum and maximum of the object that was there before. So after the
# object is replaced a filter finds nothing where every row matches, and len() counts old rows.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check polars==2.1.0
timeout 300 "$dir/venv/bin/python" - <<'EOF'
import hashlib, io, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import polars as pl

body, conditions = [b""], []

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        data, asked = body[0], self.headers.get("Range")
        conditions.extend(self.headers[h] for h in ("If-Match", "If-Range", "If-None-Match") if self.headers[h])
        part, total = data, len(data)
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, total - int(last))
            part = data[start:int(last) + 1] if first and last else data[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{total}")
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(part)
    do_HEAD = do_GET
    def log_message(self, *args): pass

def put(rows, lowest):
    out = io.BytesIO()
    frame = pl.DataFrame({"day": range(rows), "price": [lowest + i % 50 for i in range(rows)]})
    frame.write_parquet(out, compression="uncompressed")
    body[0] = out.getvalue()

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/prices.parquet"
print("polars", pl.__version__)
put(1000, 0)
prices = pl.scan_parquet(url)
dear = prices.filter(pl.col("price") >= 100)
print("prices 0 to 49:    rows", prices.collect().height, " rows with price >= 100:", dear.collect().height)
put(1000, 100)
whole, found = prices.collect(), dear.collect().height
print("prices 100 to 149: rows", whole.height, " lowest", whole["price"].min(), " rows with price >= 100:", found)
fresh = pl.scan_parquet(url).filter(pl.col("price") >= 100).collect().height
print("a new scan_parquet of the same URL finds", fresh)
put(2000, 100)
count = prices.select(pl.len()).collect().item()
print("2,000 rows now:    len() says", count)
print("conditional headers that polars sent:", conditions)
if (whole["price"].min(), found, fresh, count, conditions) != (100, 0, 1000, 1000, []):
    sys.exit("changed: polars notices that the object was replaced")
EOF
