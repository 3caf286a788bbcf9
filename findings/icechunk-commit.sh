#!/usr/bin/env bash
# icechunk 1.1.21 on s3rver 3.7.1: commits that race all succeed, and all but one are lost.
#
# Icechunk's commits rest on a conditional PUT of the branch's reference. A server that ignores If-Match and
# If-None-Match, as s3rver does, answers 200 to each, and icechunk asks it nothing else: every writer is told
# the ID of its snapshot, and the history holds one of them.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --prefix "$dir" s3rver@3.7.1 >/dev/null
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check icechunk==1.1.21 zarr==3.1.5
port=$("$dir/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
node "$dir/node_modules/.bin/s3rver" -d "$dir/data" -a 127.0.0.1 -p "$port" --configure-bucket lab >/dev/null 2>&1 &
server=$!
timeout 120 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys, threading, time, urllib.request
import icechunk, zarr

port = sys.argv[1]
for _ in range(100):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
        break
    except urllib.error.HTTPError:
        break
    except OSError:
        time.sleep(0.1)

def storage():
    return icechunk.s3_storage(
        bucket="lab", prefix="repo", endpoint_url=f"http://127.0.0.1:{port}", region="us-east-1", allow_http=True,
        force_path_style=True, access_key_id="S3RVER", secret_access_key="S3RVER",
    )

repo = icechunk.Repository.create(storage())
told, start = {}, threading.Barrier(4)

def writer(name):
    session = icechunk.Repository.open(storage()).writable_session("main")
    zarr.create_group(session.store, path=name)
    start.wait()
    try:
        told[name] = session.commit(name)
    except Exception as error:
        told[name] = type(error).__name__

threads = [threading.Thread(target=writer, args=(f"writer-{n}",)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
kept = {s.message for s in icechunk.Repository.open(storage()).ancestry(branch="main")} & set(told)
print("icechunk", icechunk.__version__, "zarr", zarr.__version__)
for name, answer in sorted(told.items()):
    print(name, "was told", answer, "and is" if name in kept else "and is not", "in the history of main")
lost = [n for n, answer in told.items() if n not in kept and not answer.endswith(("Error", "Exception"))]
if not lost:
    sys.exit("changed: no commit was acknowledged and lost")
print(f"{len(lost)} acknowledged commits are lost")
EOF
