#!/usr/bin/env bash
# gofakes3 1.2.0: an object put by boto3 and overwritten in parts cannot be read by boto3 any more.
#
# gofakes3 keeps what the former object's headers said wherever the new request does not say it: user
# metadata, Content-Type, and x-amz-checksum-crc32, which boto3 sends with every PutObject. After a
# multipart upload over it the old checksum stands beside the new bytes, and boto3 checks it.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
GOBIN="$dir" go install github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0 2>/dev/null
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
go version -m "$dir/gofakes3" | awk '$1 == "mod" { print $2, $3 }'
"$dir/gofakes3" -backend mem -host "127.0.0.1:$port" -initialbucket bucket > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys
import boto3, botocore
from botocore.exceptions import FlexibleChecksumError

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                  aws_access_key_id="key", aws_secret_access_key="secret")
print("boto3", boto3.__version__)
s3.put_object(Bucket="bucket", Key="k", Body=b"old", ContentType="text/csv", Metadata={"writer": "first"})
s3.put_object(Bucket="bucket", Key="k", Body=b"new")
head = s3.head_object(Bucket="bucket", Key="k")
kept = head["ContentType"], {name.lower(): value for name, value in head["Metadata"].items()}
print("PutObject without metadata over an object with some: the new object has", *kept)

upload = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
tag = s3.upload_part(Bucket="bucket", Key="k", UploadId=upload, PartNumber=1, Body=b"in parts")["ETag"]
s3.complete_multipart_upload(Bucket="bucket", Key="k", UploadId=upload,
                             MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
answer = s3.get_object(Bucket="bucket", Key="k")
try:
    failed = None
    answer["Body"].read()
except FlexibleChecksumError as error:
    failed = error
print("after a multipart upload of b'in parts', get_object raises:", failed)
s3.delete_object(Bucket="bucket", Key="k")
upload = s3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
tag = s3.upload_part(Bucket="bucket", Key="k", UploadId=upload, PartNumber=1, Body=b"in parts")["ETag"]
s3.complete_multipart_upload(Bucket="bucket", Key="k", UploadId=upload,
                             MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
afresh = s3.get_object(Bucket="bucket", Key="k")["Body"].read()
print("deleted first, then uploaded the same way:", afresh)
if kept != ("text/csv", {"writer": "first"}) or failed is None or afresh != b"in parts":
    sys.exit("changed: what gofakes3 keeps of an object that is overwritten")
EOF
