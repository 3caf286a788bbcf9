#!/usr/bin/env bash
# s3s-fs 0.14.1: a listing names keys that do not exist, and one of them twice.
#
# boto3, like most clients, asks for encoding-type=url. s3s-fs answers that the keys are encoded and
# sends them as they are. The client decodes them: a plus becomes a space, %41 becomes A.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
CARGO_TARGET_DIR="$dir/target" timeout 1500 cargo install --quiet --root "$dir" \
    s3s-fs --version 0.14.1 --features binary
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$dir/data/bucket"
"$dir/bin/s3s-fs" --version
"$dir/bin/s3s-fs" --host 127.0.0.1 --port "$port" --access-key key --secret-key secret "$dir/data" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys
import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                  aws_access_key_id="key", aws_secret_access_key="secret")
written = ["2026-01-30T00:00:00+00:00", "a b", "a+b", "rate 5%41"]
for key in written:
    s3.put_object(Bucket="bucket", Key=key, Body=key.encode())
listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket")["Contents"]]
raw = s3.list_objects_v2(Bucket="bucket", EncodingType="url")
sent = [entry["Key"] for entry in raw["Contents"]]
print("written:", written)
print("sent:   ", sent, " EncodingType:", raw["EncodingType"])
print("listed: ", listed)
missing = 0
for key in listed:
    try:
        s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    except ClientError as error:
        missing += 1
        print("get", repr(key), "as listed:", error.response["Error"]["Code"])
if sorted(sent) != sorted(written) or sorted(listed) != ["2026-01-30T00:00:00 00:00", "a b", "a b", "rate 5A"] or missing != 2:
    sys.exit("changed: the keys that s3s-fs lists")
EOF
