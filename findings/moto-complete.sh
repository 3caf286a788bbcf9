#!/usr/bin/env bash
# moto 5.2.5: If-Match holds for small objects and is passed over for large ones.
#
# PutObject and DeleteObject with a stale If-Match are 412, and so is CompleteMultipartUpload with
# If-None-Match. CompleteMultipartUpload with a stale If-Match is 200 and replaces the object, so a
# test of compare-and-swap on moto passes with a small object and proves nothing about a large one.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check 'moto[s3,server]==5.2.5'
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$dir/venv/bin/python" -m moto.server -H 127.0.0.1 -p "$port" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import importlib.metadata, sys
import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                  aws_access_key_id="key", aws_secret_access_key="secret")
s3.create_bucket(Bucket="bucket")
stale = s3.put_object(Bucket="bucket", Key="k", Body=b"first")["ETag"]
s3.put_object(Bucket="bucket", Key="k", Body=b"second")

def complete(**condition):
    upload = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    tag = s3.upload_part(Bucket="bucket", Key="k", UploadId=upload, PartNumber=1, Body=b"lost update")["ETag"]
    return s3.complete_multipart_upload(Bucket="bucket", Key="k", UploadId=upload,
                                        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}, **condition)

def status(call):
    try:
        return call()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]

print("moto", importlib.metadata.version("moto"))
seen = {
    "PutObject, stale If-Match": status(lambda: s3.put_object(Bucket="bucket", Key="k", Body=b"third", IfMatch=stale)),
    "DeleteObject, stale If-Match": status(lambda: s3.delete_object(Bucket="bucket", Key="k", IfMatch=stale)),
    "CompleteMultipartUpload, If-None-Match: *": status(lambda: complete(IfNoneMatch="*")),
    "CompleteMultipartUpload, stale If-Match": status(lambda: complete(IfMatch=stale)),
}
for what, answered in seen.items():
    print(f"{what}: {answered}")
now = s3.get_object(Bucket="bucket", Key="k")["Body"].read()
print("the object is", now)
if list(seen.values()) != [412, 412, 412, 200] or now != b"lost update":
    sys.exit("changed: moto's conditions")
EOF
