#!/usr/bin/env bash
# AWS CLI 1.46.3 and rclone 1.76.0: a web page that answers 200 is a bucket with nothing in it,
# and sync from it deletes every local file.
#
# What answers may be a sign-in page, a proxy's "it works" page, or an http:// endpoint that another
# server has taken over. The page is well-formed markup without any <Contents>, and neither program
# looks at the name of the root element or at Content-Type. An upload to it is reported as done: nobody
# misses the ETag.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check awscli==1.46.3
GOBIN="$dir" go install github.com/rclone/rclone@v1.76.0 2>/dev/null
cat > "$dir/page.py" <<'EOF'
import http.server

class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        page = b"<html><body>Please sign in</body></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
print(server.server_port, flush=True)
server.serve_forever()
EOF
python3 "$dir/page.py" > "$dir/port" &
pid=$!
timeout 180 bash -c "until [ -s '$dir/port' ]; do sleep 0.1; done"
url=http://127.0.0.1:$(cat "$dir/port")
export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE="$dir/none" AWS_SHARED_CREDENTIALS_FILE="$dir/none"
aws() { timeout 180 "$dir/venv/bin/aws" --endpoint-url "$url" s3 "$@"; }
rclone() { timeout 180 "$dir/rclone" --config /dev/null "$@" ":s3,provider=Other,access_key_id=key,secret_access_key=secret,endpoint='$url':bucket" "$dir/local"; }
changed() { echo "changed: $1"; exit 1; }

"$dir/venv/bin/aws" --version
mkdir "$dir/local"
echo precious > "$dir/local/a"
echo precious > "$dir/local/b"
aws cp "$dir/local/a" s3://bucket/a || changed "aws s3 cp to a page fails"
aws sync --delete s3://bucket "$dir/local" || changed "aws s3 sync from a page fails"
[ -z "$(ls "$dir/local")" ] || changed "aws s3 sync --delete leaves the local files"
echo "aws s3 sync --delete: exit code 0, and no file is left"

"$dir/rclone" version | head -1
echo precious > "$dir/local/a"
rclone sync || changed "rclone sync from a page fails"
[ -z "$(ls "$dir/local")" ] || changed "rclone sync leaves the local files"
echo "rclone sync: exit code 0, and no file is left"
