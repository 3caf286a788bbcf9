#!/usr/bin/env bash
# pyarrow 26.0.1: delete_file and move on S3 leave an object behind that nobody wrote.
#
# S3FileSystem keeps up directories: when it has removed d/e/k it puts an empty object d/e/, even if
# other keys are still below d/e/. Whoever lists the bucket finds a key more.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check pyarrow==26.0.1 'moto[s3,server]==5.2.5'
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$dir/venv/bin/python" -m moto.server -H 127.0.0.1 -p "$port" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys
import boto3, pyarrow, pyarrow.fs

boto = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                    aws_access_key_id="key", aws_secret_access_key="secret")
arrow = pyarrow.fs.S3FileSystem(endpoint_override=f"127.0.0.1:{sys.argv[1]}", scheme="http",
                                region="us-east-1", access_key="key", secret_key="secret")
boto.create_bucket(Bucket="bucket")

def keys():
    return [entry["Key"] for entry in boto.list_objects_v2(Bucket="bucket").get("Contents", [])]

print("pyarrow", pyarrow.__version__)
for key in ("d/one", "d/two", "d/three", "e/four"):
    boto.put_object(Bucket="bucket", Key=key, Body=b"x")
steps = [keys()]
print("written:                 ", steps[-1])
arrow.delete_file("bucket/d/one")
steps.append(keys())
print("d/one deleted:           ", steps[-1])
arrow.move("bucket/e/four", "bucket/d/four")
steps.append(keys())
print("e/four moved to d/four:  ", steps[-1])
for key in ("d/two", "d/three", "d/four"):
    arrow.delete_file("bucket/" + key)
steps.append(keys())
print("all deleted one by one:  ", steps[-1])
if steps[1] != ["d/", "d/three", "d/two", "e/four"] or steps[-1] != ["d/", "e/"]:
    sys.exit("changed: what pyarrow leaves of deleted keys")
EOF
