#!/usr/bin/env bash
# rclone 1.76.0 serve s3: DELETE of a key that does not exist removes another object, with 204.
#
# S3 keys are bytes. Where rclone's VFS does not find a name it looks for one that is equal after
# Unicode normalisation, so an e with a combining acute and the single letter are two keys when
# both are there, and one key when only one is. GET, HEAD and DELETE all take the other object.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
GOBIN="$dir" go install github.com/rclone/rclone@v1.76.0 2>/dev/null
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$dir/data/bucket"
"$dir/rclone" version | head -1
"$dir/rclone" serve s3 --config "$dir/rclone.conf" --addr "127.0.0.1:$port" --auth-key key,secret "$dir/data" 2>/dev/null &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys, unicodedata
import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                  aws_access_key_id="key", aws_secret_access_key="secret")

def get(key):
    try:
        return s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    except ClientError as error:
        return error.response["Error"]["Code"]

one = "caf\u00e9"
two = unicodedata.normalize("NFD", one)
print("two keys:", one.encode(), two.encode())
s3.put_object(Bucket="bucket", Key=one, Body=b"first")
s3.put_object(Bucket="bucket", Key=two, Body=b"second")
both = get(one), get(two)
print("both were put:", *both)
deleted = [s3.delete_object(Bucket="bucket", Key=one)["ResponseMetadata"]["HTTPStatusCode"]]
stranger = get(one)
print("the first is deleted:", *deleted, "and then read:", stranger)
deleted.append(s3.delete_object(Bucket="bucket", Key=one)["ResponseMetadata"]["HTTPStatusCode"])
left = get(two)
print("it is deleted once more:", deleted[1], "and the second, which nobody deleted, is", left)
if (both, stranger, deleted, left) != ((b"first", b"second"), b"second", [204, 204], "NoSuchKey"):
    sys.exit("changed: rclone keeps the two keys apart")
EOF
