#!/usr/bin/env bash
# s3rver 3.7.1: after some PutObject of one key at the same moment the bucket cannot be listed any more.
#
# s3rver writes an object's headers to a file of JSON beside it, in place. Two writes at once leave the longer
# one's end behind the shorter one. From then on every listing that meets the key is answered 500, and so
# is the object, until somebody writes it again; a restart does not help, since the file stays.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
npm install --silent --no-audit --no-fund --prefix "$dir" s3rver@3.7.1 > /dev/null
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
echo "s3rver $(node -p "require('$dir/node_modules/s3rver/package.json').version")"
start() {
  "$dir/node_modules/.bin/s3rver" --silent --address 127.0.0.1 --port "$port" --directory "$dir/data" --configure-bucket bucket > "$dir/log" 2>&1 &
  pid=$!
  timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
}
client() { timeout 180 "$dir/venv/bin/python" "$dir/client.py" "$port" "$1"; }
cat > "$dir/client.py" <<'EOF'
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

port, step = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="S3RVER",
                  aws_secret_access_key="S3RVER", config=Config(retries={"total_max_attempts": 1}))

def status(call, **arguments):
    try:
        return call(Bucket="bucket", **arguments)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]

def put(length):
    return status(s3.put_object, Key="k", Body=b"x", Metadata={"note": "n" * length})

if step == "race":
    with ThreadPoolExecutor(8) as pool:
        for attempt in range(1, 201):
            answers = set(pool.map(put, [10, 1000] * 4))
            if status(s3.list_objects_v2) != 200:
                break
    print("boto3", boto3.__version__)
    print("after", attempt, "times eight writes of one key at once, which were answered", *sorted(answers))
if step == "repair":
    print("the key is written again:", put(10))
seen = status(s3.list_objects_v2), status(s3.get_object, Key="k")
print("  list_objects_v2:", seen[0], " get_object:", seen[1])
if seen != ((200, 200) if step == "repair" else (500, 500)):
    sys.exit("changed: s3rver lists a bucket after writes at once")
EOF
start
client race
kill "$pid" && wait "$pid" 2>/dev/null || true
start
echo "after a restart"
client restart
client repair
